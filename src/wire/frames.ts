/**
 * Turns messages into frames and frames into messages.
 *
 * src/wire and sidecar/wire are one package in two languages: frames, messages and fields, with the
 * same messages in the same order, the same checks and the same words in the errors. The tests of
 * both read test/fixtures/wire.json, one example of each message; docs/protocol.md is the prose.
 * Frames, after the identity frame of ZeroMQ:
 *
 *     [ "DALLE/2" ] [ TYPE ] [ JSON header, UTF-8 ] [ payload, on IMAGE only ]
 *
 * An unknown TYPE is ignored and so is an unknown header field; a known TYPE with anything wrong is
 * refused with a ProtocolError that names the message, the field and what was expected.
 */
import { z } from "zod";
import { downMessage, upMessage, type DownMessage, type UpMessage } from "./messages.js";

export const PROTOCOL_VERSION = 2;
export const MAGIC = `DALLE/${PROTOCOL_VERSION}`;
export const MAX_HEADER_BYTES = 1024 * 1024;
export const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024;

/** Frames that break the protocol: which message, which field, and what was expected there. */
export class ProtocolError extends Error {
  override readonly name: string = "ProtocolError";

  constructor(
    readonly messageType: string,
    readonly field: string,
    readonly expectation: string,
  ) {
    super(`malformed ${messageType}: ${field}: expected ${expectation}`);
  }
}

/** The peer speaks another version of the protocol. */
export class VersionMismatchError extends ProtocolError {
  override readonly name = "VersionMismatchError";
  readonly ours = MAGIC;

  constructor(readonly theirs: string) {
    const remedy = "install the server and the sidecar from one release";
    super("message", "version", `${MAGIC}, got ${theirs}; ${remedy}`);
  }
}

const TYPES = { up: listTypes(upMessage), down: listTypes(downMessage) };
const headerSchema = z.record(z.string(), z.unknown());
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Turns a message into frames, checked as the receiver will check them.
 *
 * @throws ProtocolError when a field of the message does not fit.
 */
export function encode(message: UpMessage | DownMessage): Uint8Array[] {
  const checked = TYPES.up.has(message.type)
    ? check(upMessage, message.type, message)
    : check(downMessage, message.type, message);
  const payload = checked.type === "IMAGE" ? checked.payload : undefined;
  const header = Buffer.from(JSON.stringify({ ...checked, type: undefined, payload: undefined }));
  checkHeaderSize(message.type, header);
  const frames = [Buffer.from(MAGIC), Buffer.from(message.type), header];
  return payload === undefined ? frames : [...frames, payload];
}

/**
 * Turns the frames of a sidecar (without the identity frame) into a message; null when the type is
 * unknown. The payload of an IMAGE is the frame itself, not a copy.
 *
 * @throws VersionMismatchError when frame 0 names another version of this protocol.
 * @throws ProtocolError when the frames are not of this protocol, or a known message is malformed
 *   or travels the other way.
 */
export function decodeUp(frames: readonly Uint8Array[]): UpMessage | null {
  return decode(upMessage, "up", frames);
}

/** The same for the frames of the server. */
export function decodeDown(frames: readonly Uint8Array[]): DownMessage | null {
  return decode(downMessage, "down", frames);
}

function decode<Message>(
  schema: z.ZodType<Message>,
  direction: "up" | "down",
  frames: readonly Uint8Array[],
): Message | null {
  const [mark, name, header, payload] = frames;
  if (mark === undefined || name === undefined) {
    throw new ProtocolError("message", "frames", "a version, a type and a header");
  }
  checkVersion(Buffer.from(mark).toString());
  const type = Buffer.from(name).toString();
  if (!TYPES.up.has(type) && !TYPES.down.has(type)) return null;
  if (!TYPES[direction].has(type)) {
    throw new ProtocolError(type, "type", `a message that travels ${direction}`);
  }
  const frameCount = type === "IMAGE" ? 4 : 3;
  if (header === undefined || frames.length !== frameCount) {
    throw new ProtocolError(type, "frames", `${frameCount} frames`);
  }
  return check(schema, type, { ...readHeader(type, header), type, payload });
}

function checkVersion(mark: string): void {
  if (mark === MAGIC) return;
  if (/^DALLE\/[0-9]{1,9}$/.test(mark)) throw new VersionMismatchError(mark);
  throw new ProtocolError("message", "version", `${MAGIC} in the first frame`);
}

function readHeader(type: string, frame: Uint8Array): object {
  checkHeaderSize(type, frame);
  try {
    return headerSchema.parse(JSON.parse(utf8.decode(frame)));
  } catch {
    throw new ProtocolError(type, "header", "a JSON object in UTF-8");
  }
}

function checkHeaderSize(type: string, frame: Uint8Array): void {
  if (frame.length > MAX_HEADER_BYTES) {
    throw new ProtocolError(type, "header", `at most ${MAX_HEADER_BYTES} bytes`);
  }
}

function check<T>(schema: z.ZodType<T>, type: string, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new ProtocolError(type, issue?.path.join(".") ?? "header", issue?.message ?? "");
}

function listTypes(union: {
  options: readonly { shape: { type: { value: string } } }[];
}): ReadonlySet<string> {
  return new Set(union.options.map((option) => option.shape.type.value));
}
