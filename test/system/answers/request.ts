/** One recorded HTTP request as it goes over the wire, and its answer as it comes: nothing added, nothing decoded. */
import { request as sendRequest, type IncomingMessage } from "node:http";
import { text as readText } from "node:stream/consumers";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { z } from "zod";

const PACKERS = {
  gzip: gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
  latin1: (text: string) => Buffer.from(text, "latin1"),
};

/** A request of the recording. In its texts `<x*3>` stands for `xxx`. */
export const requestSchema = z.strictObject({
  /** Method and target. */
  call: z.string(),
  headers: z.record(z.string(), z.string()).optional(),
  /** A string is sent as it is, anything else as JSON. */
  body: z.unknown().optional(),
  /** What is done to the bytes of the body; a header that says so has to be among the headers. */
  packed: z.enum(["gzip", "deflate", "br", "latin1"]).optional(),
});
export type RecordedRequest = z.output<typeof requestSchema>;

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** Sends a request and reads its answer to the end. */
export async function exchange(
  url: string,
  { call, headers = {}, body = "", packed }: RecordedRequest,
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const [method, path] = call.split(" ");
  const shown = Object.entries(headers).map(([name, value]) => [name, expand(value)] as const);
  const text = expand(typeof body === "string" ? body : JSON.stringify(body));
  const options = { hostname, port, method, path, headers: Object.fromEntries(shown) };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const sending = sendRequest(options, resolve).on("error", reject);
    sending.end(packed === undefined ? text : PACKERS[packed](text));
  });
  const { statusCode: status = 0, headers: received } = response;
  return { status, headers: received, text: await readText(response) };
}

function expand(text: string): string {
  return text.replaceAll(/<([^<>]+)\*(\d+)>/g, (_all, part: string, count: string) =>
    part.repeat(Number(count)),
  );
}
