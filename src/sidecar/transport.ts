import { rm } from "node:fs/promises";
import { Context, Router } from "zeromq";
import { MAX_PAYLOAD_BYTES } from "../wire.js";

/** The longest path of a Unix socket, in bytes, without the zero at its end. */
const MAX_SOCKET_PATH_BYTES = 107;
/** A fuse only: the number of open tasks is limited long before. */
const HIGH_WATER_MARK = 1000;

export type TransportErrorCode =
  "path_too_long" | "bind_failed" | "peer_unreachable" | "peer_busy" | "closed";

export class TransportError extends Error {
  override readonly name = "TransportError";

  constructor(
    readonly code: TransportErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A way to talk to peers that have names. Knows nothing of what the frames mean. */
export interface Transport {
  readonly endpoint: string;
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
  const transport = new RouterTransport(socketPath, onFrames);
  await transport.bind();
  return transport;
}

/** A ROUTER socket with one writer at a time. */
class RouterTransport implements Transport {
  readonly endpoint: string;
  readonly #socketPath: string;
  readonly #onFrames: FramesListener;
  readonly #router: Router;
  /** zeromq.js refuses a second send while one is under way, so each waits for the one before. */
  #lastSend: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(socketPath: string, onFrames: FramesListener) {
    this.endpoint = `ipc://${socketPath}`;
    this.#socketPath = socketPath;
    this.#onFrames = onFrames;
    this.#router = new Router({
      // Its own context, not blocky: an open socket then never keeps the process from ending.
      context: new Context({ blocky: false }),
      // Without `mandatory` frames to a lost peer vanish; with it a send waits for ever unless it may not wait.
      mandatory: true,
      sendTimeout: 0,
      linger: 0,
      maxMessageSize: MAX_PAYLOAD_BYTES,
      sendHighWaterMark: HIGH_WATER_MARK,
      receiveHighWaterMark: HIGH_WATER_MARK,
    });
  }

  async bind(): Promise<void> {
    try {
      await this.#router.bind(this.endpoint);
    } catch (error) {
      this.#router.close();
      const message = `cannot listen on ${this.endpoint}: ${String(error)}`;
      throw new TransportError("bind_failed", message, { cause: error });
    }
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
    // libzmq leaves the file of the socket behind.
    await rm(this.#socketPath, { force: true });
  }

  async #sendNow(peer: string, frames: readonly Uint8Array[]): Promise<void> {
    if (this.#isClosed) throw new TransportError("closed", "the socket is closed");
    try {
      await this.#router.send([peer, ...frames.map((frame) => Buffer.from(frame))]);
    } catch (error) {
      throw createSendError(peer, error);
    }
  }

  async #receiveAll(): Promise<void> {
    for await (const [peer, ...frames] of this.#router) {
      if (peer !== undefined) this.#onFrames(peer.toString(), frames);
    }
  }
}

function createSendError(peer: string, error: unknown): TransportError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EHOSTUNREACH") {
    return new TransportError("peer_unreachable", `${peer} is not connected`, { cause: error });
  }
  if (code === "EAGAIN") {
    return new TransportError("peer_busy", `${peer} reads too slowly`, { cause: error });
  }
  return new TransportError("closed", `the socket failed: ${String(error)}`, { cause: error });
}
