import { rm } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { Context, Router, type SocketOptions } from "zeromq";
import { MAX_PAYLOAD_BYTES } from "../../wire/frames.js";
import { TransportError } from "./transport-error.js";
import { Gatekeeper, type SidecarKeys } from "./curve.js";

/** The longest path of a Unix socket, in bytes, without the zero at its end. */
const MAX_SOCKET_PATH_BYTES = 107;
/** A fuse only: the number of open tasks is limited long before. */
export const HIGH_WATER_MARK = 1000;

/** Exchanges frames with named peers. It does not know what the frames mean. */
export interface Transport {
  readonly endpoint: string;
  /** What a peer needs to be let in; null where the file system guards the door. */
  readonly keys: SidecarKeys | null;
  /** How many connections were refused for a wrong key, or for none. */
  readonly refusedCount: number;
  /** Rejects with a TransportError. That it resolves does not prove that the peer got the frames. */
  send(peer: string, frames: readonly Uint8Array[]): Promise<void>;
  close(): Promise<void>;
}

export type FramesListener = (peer: string, frames: readonly Uint8Array[]) => void;

/**
 * Listens for sidecars on a Unix socket.
 *
 * @throws TransportError `path_too_long` or `bind_failed`; neither goes away by itself.
 */
export async function bindTransport(
  socketPath: string,
  onFrames: FramesListener,
): Promise<Transport> {
  const byteCount = Buffer.byteLength(socketPath);
  if (byteCount > MAX_SOCKET_PATH_BYTES) {
    const message = `the socket path ${socketPath} has ${byteCount} bytes and may have ${MAX_SOCKET_PATH_BYTES}; set TMPDIR to a shorter folder`;
    throw new TransportError("path_too_long", message);
  }
  const transport = new RouterTransport({}, socketPath, null, onFrames);
  await transport.bind(`ipc://${socketPath}`);
  return transport;
}

/**
 * Listens for sidecars on a port of `host`, an IP address of this machine. What is said is encrypted,
 * and only a peer with the keys of this transport is let in.
 *
 * @throws TransportError `curve_missing` or `bind_failed`; neither goes away by itself.
 */
export async function bindSecureTransport(
  host: string,
  onFrames: FramesListener,
): Promise<Transport> {
  const gatekeeper = await Gatekeeper.open();
  const ipv6 = isIPv6(host);
  const transport = new RouterTransport(
    { ...gatekeeper.socketOptions, ipv6 },
    null,
    gatekeeper,
    onFrames,
  );
  await transport.bind(ipv6 ? `tcp://[${host}]:*` : `tcp://${host}:*`);
  return transport;
}

/** A ROUTER socket with one writer at a time. */
class RouterTransport implements Transport {
  readonly #socketPath: string | null;
  readonly #gatekeeper: Gatekeeper | null;
  readonly #onFrames: FramesListener;
  readonly #router: Router;
  #endpoint = "";
  /** zeromq.js refuses a second send while one is under way, so each waits for the one before. */
  #lastSend: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(
    options: SocketOptions<Router>,
    socketPath: string | null,
    gatekeeper: Gatekeeper | null,
    onFrames: FramesListener,
  ) {
    this.#socketPath = socketPath;
    this.#gatekeeper = gatekeeper;
    this.#onFrames = onFrames;
    this.#router = new Router({
      // Its own context, not blocky: an open socket then never keeps the process from ending.
      context: gatekeeper?.context ?? new Context({ blocky: false }),
      // Without `mandatory` frames to a lost peer vanish; with it a send would block unless it times out at once.
      mandatory: true,
      sendTimeout: 0,
      linger: 0,
      maxMessageSize: MAX_PAYLOAD_BYTES,
      sendHighWaterMark: HIGH_WATER_MARK,
      receiveHighWaterMark: HIGH_WATER_MARK,
      ...options,
    });
    gatekeeper?.watch(this.#router);
  }

  get endpoint(): string {
    return this.#endpoint;
  }

  get keys(): SidecarKeys | null {
    return this.#gatekeeper?.keys ?? null;
  }

  get refusedCount(): number {
    return this.#gatekeeper?.refusedCount ?? 0;
  }

  async bind(address: string): Promise<void> {
    try {
      await this.#router.bind(address);
    } catch (error) {
      this.#router.close();
      this.#gatekeeper?.close();
      const message = `cannot listen on ${address}: ${String(error)}`;
      throw new TransportError("bind_failed", message, { cause: error });
    }
    this.#endpoint = this.#router.lastEndpoint ?? address;
    void this.#receiveAll();
  }

  send(peer: string, frames: readonly Uint8Array[]): Promise<void> {
    const sent = this.#lastSend.then(() => this.#sendNow(peer, frames));
    this.#lastSend = sent.catch(() => undefined);
    return sent;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#lastSend;
    this.#router.close();
    this.#gatekeeper?.close();
    // libzmq leaves the file of the socket behind.
    if (this.#socketPath !== null) await rm(this.#socketPath, { force: true });
  }

  async #sendNow(peer: string, frames: readonly Uint8Array[]): Promise<void> {
    if (this.#isClosed) throw new TransportError("closed", "the socket is closed");
    try {
      await this.#router.send([peer, ...frames.map((frame) => Buffer.from(frame))]);
    } catch (error) {
      throw toTransportError(peer, error);
    }
  }

  async #receiveAll(): Promise<void> {
    for await (const [peer, ...frames] of this.#router) {
      if (peer !== undefined) this.#onFrames(peer.toString(), frames);
    }
  }
}

function toTransportError(peer: string, error: unknown): TransportError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EHOSTUNREACH") {
    return new TransportError("peer_unreachable", `${peer} is not connected`, { cause: error });
  }
  if (code === "EAGAIN") {
    return new TransportError("peer_busy", `${peer} reads too slowly`, { cause: error });
  }
  return new TransportError("closed", `the socket failed: ${String(error)}`, { cause: error });
}
