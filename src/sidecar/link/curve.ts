import { capability, Context, curveKeyPair, Reply, type Router, type SocketOptions } from "zeromq";
import { TransportError } from "./transport-error.js";

/** Where libzmq asks whether a peer may come in; see ZeroMQ's RFC 27. */
const ZAP_ADDRESS = "inproc://zeromq.zap.01";
const ZAP_VERSION = "1.0";
const DOMAIN = "sidecar";
const Z85_DIGITS =
  "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/** What a sidecar needs to be let in, each key in the text form of ZeroMQ (Z85). */
export interface SidecarKeys {
  /** Proves the server to the sidecar. */
  readonly serverKey: string;
  readonly publicKey: string;
  readonly secretKey: string;
}

/**
 * The lock of a socket: fresh CURVE keys, and a handler that lets in the one client key that was
 * made with them. Without a handler libzmq would let in any peer that knows the server's public key.
 */
export class Gatekeeper {
  /** The handler is found within its context only, so the socket has to be of the same. */
  readonly context = new Context({ blocky: false });
  readonly keys: SidecarKeys;
  readonly #serverSecretKey: string;
  readonly #handler = new Reply({ context: this.context, linger: 0 });
  #refusedCount = 0;

  private constructor() {
    const server = curveKeyPair();
    const { publicKey, secretKey } = curveKeyPair();
    this.keys = { serverKey: server.publicKey, publicKey, secretKey };
    this.#serverSecretKey = server.secretKey;
  }

  /** @throws TransportError `curve_missing` when this ZeroMQ cannot encrypt. */
  static async open(can: { readonly curve?: boolean } = capability): Promise<Gatekeeper> {
    if (can.curve !== true) {
      const message =
        "the ZeroMQ of this Node was built without CURVE, and tcp is never used unencrypted; use --sidecar_transport ipc";
      throw new TransportError("curve_missing", message);
    }
    const gatekeeper = new Gatekeeper();
    await gatekeeper.#handler.bind(ZAP_ADDRESS);
    void gatekeeper.#answerAll();
    return gatekeeper;
  }

  /** Connections that were refused. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  get socketOptions(): SocketOptions<Router> {
    return {
      curveServer: true,
      curveSecretKey: this.#serverSecretKey,
      zapDomain: DOMAIN,
      // Without a handler all peers are refused, instead of none.
      zapEnforceDomain: true,
    };
  }

  /** Counts the connections that the socket refuses. */
  watch(router: Router): void {
    const count = () => {
      this.#refusedCount += 1;
    };
    router.events.on("handshake:error:auth", count);
    router.events.on("handshake:error:protocol", count);
    router.events.on("handshake:error:other", count);
  }

  close(): void {
    this.#handler.close();
  }

  async #answerAll(): Promise<void> {
    const allowed = decodeZ85(this.keys.publicKey);
    for await (const [, requestId, domain, , , mechanism, key] of this.#handler) {
      const isAllowed =
        domain?.toString() === DOMAIN &&
        mechanism?.toString() === "CURVE" &&
        key?.equals(allowed) === true;
      const [status, text] = isAllowed ? ["200", "OK"] : ["400", "unknown key"];
      await this.#handler.send([ZAP_VERSION, requestId ?? "", status, text, "", ""]);
    }
  }
}

/** The bytes of a text in Z85 (ZeroMQ's RFC 32): each five characters are four bytes. */
function decodeZ85(text: string): Buffer {
  const bytes = Buffer.alloc((text.length / 5) * 4);
  for (let place = 0; place * 5 < text.length; place += 1) {
    const group = Array.from(text.slice(place * 5, place * 5 + 5));
    const value = group.reduce((sum, digit) => sum * 85 + Z85_DIGITS.indexOf(digit), 0);
    bytes.writeUInt32BE(value, place * 4);
  }
  return bytes;
}
