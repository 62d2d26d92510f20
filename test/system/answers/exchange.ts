/** One HTTP request as it goes over the wire, and its answer as it comes: nothing added, nothing decoded. */
import { request, type IncomingHttpHeaders } from "node:http";
import { buffer } from "node:stream/consumers";
import { z } from "zod";

const SHOWN_CHARACTERS = 140;

export interface Ask {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
  readonly hasSeed: boolean;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
}

/** Describes a request: `line` is method and path, a body that is no text is sent as JSON, `sent` replaces the body. */
export function ask(
  line: string,
  body: unknown = "",
  headers: Readonly<Record<string, string>> = {},
  sent?: Uint8Array,
): Ask {
  const [method = "", path = ""] = line.split(" ");
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const parts = [line, ...Object.entries(headers).map((header) => header.join(": ")), text];
  const whole = Array.from(parts.filter((part) => part !== "").join(" "));
  const start = whole.slice(0, SHOWN_CHARACTERS).join("");
  return {
    name: whole.length > SHOWN_CHARACTERS ? `${start}… (${whole.length} characters)` : start,
    method,
    path,
    headers,
    body: sent ?? text,
    hasSeed: /"seed":\d/.test(text),
  };
}

/** Sends a request and reads its answer to the end. */
export async function exchange(
  url: string,
  { method, path, headers, body }: Ask,
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const sending = request({ hostname, port, method, path, headers });
  const answered = new Promise<RawAnswer>((resolve, reject) => {
    sending.on("error", reject).on("response", (response) => {
      const { statusCode = 0, headers: received } = response;
      buffer(response).then((bytes) => {
        resolve({ status: statusCode, headers: received, bytes });
      }, reject);
    });
  });
  sending.end(body);
  return answered;
}

const answerSchema = z.union([
  z.object({ generatedImages: z.array(z.string()) }).transform((one) => one.generatedImages),
  z
    .object({ data: z.array(z.object({ b64_json: z.string() })) })
    .transform(({ data }) => data.map((image) => image.b64_json)),
]);

/** The images of an answer in base64; none where it has none. */
export function readImages({ status, bytes }: RawAnswer): string[] {
  if (status !== 200 || bytes[0] !== 0x7b) return [];
  const parsed = answerSchema.safeParse(JSON.parse(bytes.toString()));
  return parsed.success ? parsed.data : [];
}
