/** Requests that are refused: which status, code, param and sentence each kind of mistake gets. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { startTestServer, type TestServer } from "../support/test-server.js";

/** A request that must be refused, and what the refusal has to say. */
interface BadRequest {
  readonly what: string;
  readonly method?: string;
  readonly path?: string;
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status?: number;
  readonly code?: string;
  readonly param?: string;
  /** Part of the message: what was expected. */
  readonly says: string;
}

const errorSchema = z.strictObject({
  error: z.strictObject({
    message: z.string().min(1),
    type: z.literal("invalid_request_error"),
    param: z.string().nullable(),
    code: z.string(),
  }),
});

const MEGABYTE = 1024 * 1024;
const COUNT = "an integer from 1 to 100";
const TEXT = "a string of 1 to 4000 characters";
const JSON_OBJECT = "expected a JSON object";

const dalle = (body: unknown) => ({ body: JSON.stringify(body) });
const images = (body: unknown) => ({ path: "/v1/images/generations", body: JSON.stringify(body) });

const badText: readonly BadRequest[] = [
  {
    what: "no text",
    ...dalle({ num_images: 1 }),
    param: "text",
    says: `is required and must be ${TEXT}`,
  },
  { what: "text null", ...dalle({ text: null }), param: "text", says: "got null" },
  { what: "text a number", ...dalle({ text: 5 }), param: "text", says: "got 5" },
  { what: "text true", ...dalle({ text: true }), param: "text", says: TEXT },
  { what: "text an array", ...dalle({ text: ["a"] }), param: "text", says: "got an array" },
  { what: "text an object", ...dalle({ text: { a: 1 } }), param: "text", says: "got an object" },
  { what: "text empty", ...dalle({ text: "" }), param: "text", says: `got ""` },
  {
    what: "text only spaces",
    ...dalle({ text: " \n\t " }),
    param: "text",
    says: "not only spaces",
  },
  {
    what: "text too long",
    ...dalle({ text: "a".repeat(4001) }),
    param: "text",
    says: "got a string of 4001",
  },
  {
    what: "prompt in place of text",
    ...dalle({ prompt: "a cat" }),
    param: "text",
    says: "is required",
  },
];

const badCount: readonly BadRequest[] = [0, -1, 101, 1.5, "3", "abc", true, [1], {}, 1e300].map(
  (value) => ({
    what: `num_images ${JSON.stringify(value)}`,
    ...dalle({ text: "a cat", num_images: value }),
    param: "num_images",
    says: COUNT,
  }),
);

const badSampling: readonly BadRequest[] = [
  { what: "seed -1", ...dalle({ text: "a", seed: -1 }), param: "seed", says: "0 to 4294967295" },
  {
    what: "seed 2^32",
    ...dalle({ text: "a", seed: 2 ** 32 }),
    param: "seed",
    says: "0 to 4294967295",
  },
  { what: "seed a string", ...dalle({ text: "a", seed: "7" }), param: "seed", says: `got "7"` },
  {
    what: "cond_scale 31",
    ...dalle({ text: "a", cond_scale: 31 }),
    param: "cond_scale",
    says: "a number from 1 to 30",
  },
  {
    what: "cond_scale infinite",
    body: `{"text":"a","cond_scale":1e999}`,
    param: "cond_scale",
    says: "got Infinity",
  },
  {
    what: "guidance_scale 0",
    ...dalle({ text: "a", guidance_scale: 0 }),
    param: "guidance_scale",
    says: "1 to 30",
  },
  {
    what: "temperature 0",
    ...dalle({ text: "a", temperature: 0 }),
    param: "temperature",
    says: "0.1 to 5",
  },
  {
    what: "top_k 1.5",
    ...dalle({ text: "a", top_k: 1.5 }),
    param: "top_k",
    says: "an integer from 0 to 1000",
  },
  {
    what: "top_p 2",
    ...dalle({ text: "a", top_p: 2 }),
    param: "top_p",
    says: "a number from 0.01 to 1",
  },
];

const badBody: readonly BadRequest[] = [
  { what: "no body", says: "The body is empty" },
  { what: "an empty body", body: "", says: "The body is empty" },
  { what: "broken JSON", body: `{"text": "a`, says: JSON_OBJECT },
  { what: "a form", body: "text=a&num_images=1", says: JSON_OBJECT },
  { what: "an array", body: `[{"text":"a"}]`, says: "The body is an array" },
  { what: "null", body: "null", says: JSON_OBJECT },
  { what: "a string", body: `"a cat"`, says: "The body is a string" },
  { what: "a number", body: "7", says: JSON_OBJECT },
  { what: "NaN", body: `{"text": NaN}`, says: "not valid JSON" },
  { what: "invalid UTF-8", body: Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d), says: "not valid UTF-8" },
  { what: "deep nesting", body: "[".repeat(200_000), says: "not valid JSON" },
].map((request) => ({ ...request, code: "invalid_json" }));

const badTransport: readonly BadRequest[] = [
  {
    what: "a body of 2 MB",
    body: "x".repeat(2 * MEGABYTE),
    status: 413,
    code: "body_too_large",
    says: "at most 1 MB",
  },
  {
    what: "2 MB of text in valid JSON",
    ...dalle({ text: "a".repeat(2 * MEGABYTE) }),
    status: 413,
    code: "body_too_large",
    says: "at most 1 MB",
  },
  {
    what: "an unknown encoding",
    ...dalle({ text: "a" }),
    headers: { "content-encoding": "zstd" },
    code: "unsupported_value",
    param: "Content-Encoding",
    says: "gzip",
  },
  {
    what: "a body that is not the gzip it claims to be",
    ...dalle({ text: "a" }),
    headers: { "content-encoding": "gzip" },
    code: "invalid_request",
    says: "could not be read",
  },
];

const badPath: readonly BadRequest[] = [
  { what: "an unknown path", path: "/nothing", says: "POST /dalle" },
  { what: "image edits", path: "/v1/images/edits", says: "/v1/images/edits" },
  {
    what: "a path out of the folder",
    path: "/..%2f..%2fetc%2fpasswd",
    method: "GET",
    says: "There is no GET",
  },
  { what: "a path with markup", path: "/%3Cscript%3E", method: "GET", says: "There is no GET" },
].map((request) => ({ ...request, status: 404, code: "not_found" }));

const badEscape: readonly BadRequest[] = [
  {
    what: "a broken escape in a path",
    path: "/v1/models/%zz",
    method: "GET",
    code: "invalid_request",
    says: "could not be read",
  },
];

const badMethod: readonly BadRequest[] = [
  { what: "GET /dalle", method: "GET", says: "POST" },
  { what: "PUT /dalle", method: "PUT", ...dalle({ text: "a" }), says: "POST" },
  { what: "DELETE /dalle", method: "DELETE", says: "POST" },
  { what: "PATCH /dalle", method: "PATCH", says: "POST" },
  { what: "POST /", path: "/", says: "GET" },
  { what: "POST /health_check", path: "/health_check", says: "GET" },
  { what: "POST /ready", path: "/ready", says: "GET" },
  { what: "GET images", path: "/v1/images/generations", method: "GET", says: "POST" },
  { what: "DELETE models", path: "/v1/models", method: "DELETE", says: "GET" },
].map((request) => ({ ...request, status: 405, code: "method_not_allowed" }));

const badImages: readonly BadRequest[] = [
  { what: "no prompt", ...images({}), param: "prompt", says: "is required" },
  { what: "prompt empty", ...images({ prompt: "" }), param: "prompt", says: TEXT },
  { what: "prompt an array", ...images({ prompt: ["a"] }), param: "prompt", says: "got an array" },
  { what: "n 0", ...images({ prompt: "a", n: 0 }), param: "n", says: "an integer from 1 to 10" },
  { what: "n 11", ...images({ prompt: "a", n: 11 }), param: "n", says: "got 11" },
  { what: "n a string", ...images({ prompt: "a", n: "2" }), param: "n", says: `got "2"` },
  {
    what: "model a number",
    ...images({ prompt: "a", model: 3 }),
    param: "model",
    says: "a string",
  },
  {
    what: "size in words",
    ...images({ prompt: "a", size: "large" }),
    param: "size",
    says: "256x256",
  },
  { what: "size 0x0", ...images({ prompt: "a", size: "0x0" }), param: "size", says: "256x256" },
  { what: "size a number", ...images({ prompt: "a", size: 256 }), param: "size", says: "256x256" },
  {
    what: "response_format xml",
    ...images({ prompt: "a", response_format: "xml" }),
    param: "response_format",
    says: "b64_json",
  },
  {
    what: "output_format gif",
    ...images({ prompt: "a", output_format: "gif" }),
    param: "output_format",
    says: `"jpeg"`,
  },
  {
    what: "output_compression 101",
    ...images({ prompt: "a", output_compression: 101 }),
    param: "output_compression",
    says: "0 to 100",
  },
  {
    what: "quality a number",
    ...images({ prompt: "a", quality: 1 }),
    param: "quality",
    says: "a string",
  },
  {
    what: "stream a string",
    ...images({ prompt: "a", stream: "yes" }),
    param: "stream",
    says: "true or false",
  },
  {
    what: "partial_images 4",
    ...images({ prompt: "a", partial_images: 4 }),
    param: "partial_images",
    says: "0 to 3",
  },
  {
    what: "broken JSON",
    path: "/v1/images/generations",
    body: "{",
    code: "invalid_json",
    says: JSON_OBJECT,
  },
];

const unsupported: readonly BadRequest[] = [
  { what: "stream", ...images({ prompt: "a", stream: true }), param: "stream", says: "false" },
  {
    what: "image links",
    ...images({ prompt: "a", response_format: "url" }),
    param: "response_format",
    says: "b64_json",
  },
  {
    what: "transparency",
    ...images({ prompt: "a", background: "transparent" }),
    param: "background",
    says: "opaque",
  },
].map((request) => ({ ...request, code: "unsupported_value" }));

const wrongModel: readonly BadRequest[] = [
  {
    what: "another model",
    ...images({ prompt: "a", model: "sdxl" }),
    param: "model",
    says: "expected dalle-nano",
  },
  {
    what: "a model that is not loaded",
    path: "/v1/models/dalle-mega",
    method: "GET",
    param: "model",
    says: "dalle-nano",
  },
].map((request) => ({ ...request, status: 404, code: "model_not_found" }));

describe("bad requests are refused with a JSON error that names the field and the expectation", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server.close());

  test.each([
    ...badText,
    ...badCount,
    ...badSampling,
    ...badBody,
    ...badTransport,
    ...badPath,
    ...badEscape,
    ...badMethod,
    ...badImages,
    ...unsupported,
    ...wrongModel,
  ])("$what", async (bad) => {
    const response = await fetch(server.url + (bad.path ?? "/dalle"), {
      method: bad.method ?? "POST",
      ...(bad.body === undefined ? {} : { body: bad.body }),
      ...(bad.headers === undefined ? {} : { headers: bad.headers }),
    });
    const text = await response.text();
    const { error } = errorSchema.parse(JSON.parse(text));
    expect(response.status).toBe(bad.status ?? 400);
    expect(error.code).toBe(bad.code ?? "invalid_value");
    expect(error.param).toBe(bad.param ?? null);
    expect(error.message).toContain(bad.says);
    if (bad.param !== undefined) expect(error.message).toContain(bad.param);
    expect(text).not.toMatch(/\n\s+at |node_modules|\.(ts|js):\d/);
    expect(text).not.toContain(process.cwd());
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(server.runner.started).toHaveLength(0);
  });

  test("a path says which methods it has", async () => {
    const response = await fetch(`${server.url}/dalle`);
    expect(response.headers.get("allow")).toBe("POST, OPTIONS");
  });

  test("what was sent is repeated only escaped and shortened", async () => {
    const text = "\u001b[31m\u202e\n";
    const response = await fetch(`${server.url}/dalle`, {
      method: "POST",
      body: JSON.stringify({ text: "a", num_images: text }),
    });
    const { error } = errorSchema.parse(await response.json());
    expect(error.message).toContain(String.raw`got "\u{1b}[31m\u{202e}\n"`);
  });
});
