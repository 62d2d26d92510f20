/** The golden messages, decoded and encoded here; test/python/wire/test_frames.py does the same. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { downMessage, upMessage } from "../../src/wire/messages.js";
import {
  decodeDown,
  decodeUp,
  encode,
  MAGIC,
  MAX_HEADER_BYTES,
  ProtocolError,
  PROTOCOL_VERSION,
  VersionMismatchError,
} from "../../src/wire/frames.js";
import type { DownMessage, UpMessage } from "../../src/wire/messages.js";

const fixtureSchema = z.object({
  protocolVersion: z.number(),
  messages: z.array(
    z.object({
      type: z.string(),
      direction: z.enum(["up", "down"]),
      header: z.record(z.string(), z.unknown()),
      payload: z.string().nullable(),
    }),
  ),
  malformed: z.array(
    z.object({
      title: z.string(),
      frames: z.array(z.string()),
      error: z.object({ message: z.string(), field: z.string(), expectation: z.string() }),
    }),
  ),
  ignored: z.array(z.object({ title: z.string(), frames: z.array(z.string()) })),
});
const fixture = fixtureSchema.parse(
  JSON.parse(readFileSync(new URL("../fixtures/wire.json", import.meta.url), "utf8")),
);

/** A frame of the fixture: text, or bytes after `base64:`. */
function toFrame(text: string): Uint8Array {
  return text.startsWith("base64:") ? Buffer.from(text.slice(7), "base64") : Buffer.from(text);
}

/** Decodes as the receiver of this type would. */
function decode(frames: readonly Uint8Array[], type: string): UpMessage | DownMessage | null {
  const isDown = fixture.messages.some((one) => one.type === type && one.direction === "down");
  return isDown ? decodeDown(frames) : decodeUp(frames);
}

function catchError(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return null;
}

describe("golden messages", () => {
  test("are of this version of the protocol", () => {
    expect(fixture.protocolVersion).toBe(PROTOCOL_VERSION);
  });

  test("are one for each type, with its direction", () => {
    const up = upMessage.options.map(({ shape }) => `up ${shape.type.value}`);
    const down = downMessage.options.map(({ shape }) => `down ${shape.type.value}`);

    const examples = fixture.messages.map(({ direction, type }) => `${direction} ${type}`);

    expect(examples.sort()).toEqual([...up, ...down].sort());
  });

  test.each(fixture.messages)("$type decodes and encodes back", ({ type, header, payload }) => {
    const frames = [MAGIC, type, JSON.stringify(header)].map((text) => Buffer.from(text));
    if (payload !== null) frames.push(Buffer.from(payload, "base64"));
    const message = decode(frames, type);
    if (message === null) throw new Error(`${type} is unknown`);

    const encoded = encode(message).map((frame) => Buffer.from(frame));

    expect(encoded[0]?.toString()).toBe(MAGIC);
    expect(encoded[1]?.toString()).toBe(type);
    expect(JSON.parse(encoded[2]?.toString() ?? "")).toEqual(header);
    expect(encoded[3]?.toString("base64") ?? null).toBe(payload);
  });

  test.each(fixture.messages)("$type is refused by the side that sends it", (example) => {
    const texts = [MAGIC, example.type, JSON.stringify(example.header), example.payload ?? ""];
    const frames = texts
      .slice(0, example.payload === null ? 3 : 4)
      .map((text) => Buffer.from(text));
    const receive = example.direction === "up" ? decodeDown : decodeUp;

    const error = catchError(() => receive(frames));

    expect(error).toMatchObject({
      name: "ProtocolError",
      messageType: example.type,
      field: "type",
    });
  });
});

describe("docs/protocol.md", () => {
  test("shows the golden example of every message under its own heading", () => {
    const text = readFileSync(new URL("../../docs/protocol.md", import.meta.url), "utf8");
    const sections = text.split(/^### /m).slice(1);
    const shown = sections.map((section) => ({
      heading: section.split("\n", 1)[0],
      header: JSON.parse(/```json\n(.*)\n```/.exec(section)?.[1] ?? "null") as unknown,
    }));

    const ways = { up: "sidecar to server", down: "server to sidecar" };
    const expected = fixture.messages.map(({ type, direction, header }) => ({
      heading: `${type} (${ways[direction]})`,
      header,
    }));
    expect(shown).toEqual(expected);
  });
});

describe("malformed messages", () => {
  test.each(fixture.malformed)("$title is refused", ({ frames, error: expected }) => {
    const error = catchError(() => decode(frames.map(toFrame), frames[1] ?? ""));

    expect(error).toBeInstanceOf(ProtocolError);
    expect(error).toMatchObject({
      messageType: expected.message,
      field: expected.field,
      expectation: expected.expectation,
      message: `malformed ${expected.message}: ${expected.field}: expected ${expected.expectation}`,
    });
  });

  test("a header over the limit is refused before it is parsed", () => {
    const header = Buffer.alloc(MAX_HEADER_BYTES + 1, "[");

    const error = catchError(() => decodeUp([toFrame(MAGIC), toFrame("BYE"), header]));

    expect(error).toMatchObject({ messageType: "BYE", field: "header" });
  });

  test("a header of endless depth is refused", () => {
    const header = Buffer.alloc(MAX_HEADER_BYTES, "[");

    const error = catchError(() => decodeUp([toFrame(MAGIC), toFrame("BYE"), header]));

    expect(error).toMatchObject({ field: "header", expectation: "a JSON object in UTF-8" });
  });

  test("another version is told from noise, with both versions", () => {
    const error = catchError(() => decodeUp([toFrame("DALLE/7"), toFrame("HELLO")]));

    expect(error).toBeInstanceOf(VersionMismatchError);
    expect(error).toMatchObject({ ours: MAGIC, theirs: "DALLE/7" });
  });
});

describe("messages of a later release", () => {
  test.each(fixture.ignored)("$title is ignored", ({ frames }) => {
    expect(decodeUp(frames.map(toFrame))).toBeNull();
    expect(decodeDown(frames.map(toFrame))).toBeNull();
  });

  test("an unknown header field is ignored", () => {
    const frames = [MAGIC, "PING", '{"sequence":1,"type":"BYE","mood":"fine"}'].map(toFrame);

    expect(decodeDown(frames)).toEqual({ type: "PING", sequence: 1 });
  });
});

describe("encode", () => {
  test("refuses a message that the receiver would refuse", () => {
    const error = catchError(() => encode({ type: "PING", sequence: -1 }));

    expect(error).toMatchObject({ messageType: "PING", field: "sequence" });
  });

  test("refuses a header over the limit", () => {
    const error = catchError(() => encode({ type: "BYE", reason: "a".repeat(MAX_HEADER_BYTES) }));

    expect(error).toMatchObject({ messageType: "BYE", field: "header" });
  });
});
