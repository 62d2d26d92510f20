/** The central refusals of each route; test/system/answers.test.ts has all of them with their sentences. */
import { expect, test } from "vitest";
import { z } from "zod";
import { startTestServer } from "../support/test-server.js";

const IMAGES = "/v1/images/generations";
const errorSchema = z.strictObject({
  error: z.strictObject({
    message: z.string().min(1),
    type: z.literal("invalid_request_error"),
    param: z.string().nullable(),
    code: z.string(),
  }),
});

const REFUSALS = [
  ["/dalle", 405, "method_not_allowed", null, ""],
  ["/dalle", 400, "invalid_json", null, "{"],
  ["/dalle", 413, "body_too_large", null, "x".repeat(2 * 1024 * 1024)],
  ["/dalle", 400, "invalid_value", "text", `{"text": " "}`],
  ["/dalle", 400, "invalid_value", "num_images", `{"text": "a", "num_images": 101}`],
  ["/dalle", 400, "invalid_value", "cond_scale", `{"text": "a", "cond_scale": 31}`],
  [IMAGES, 400, "invalid_value", "prompt", `{"prompt": ""}`],
  [IMAGES, 400, "invalid_value", "n", `{"prompt": "a", "n": 11}`],
  [IMAGES, 400, "unsupported_value", "stream", `{"prompt": "a", "stream": true}`],
  [IMAGES, 404, "model_not_found", "model", `{"prompt": "a", "model": "sdxl"}`],
  ["/v1/models/sdxl", 404, "model_not_found", "model", ""],
  ["/v1/models/%zz", 400, "invalid_request", null, ""],
  ["/nothing", 404, "not_found", null, ""],
] as const;

test.each(REFUSALS)("%s refuses with %i %s, param %s", async (path, status, code, param, body) => {
  const server = await startTestServer();
  const request = body === "" ? {} : { method: "POST", body };
  const response = await fetch(server.url + path, request);
  const text = await response.text();
  const { error } = errorSchema.parse(JSON.parse(text));
  expect(response.status).toBe(status);
  expect(error).toMatchObject({ code, param });
  expect(error.message).toContain(param ?? "");
  expect(text).not.toMatch(/\n\s+at |node_modules|\.(ts|js):\d/);
  expect(text).not.toContain(process.cwd());
  expect(response.headers.get("x-should-retry")).toBe("false");
  expect(server.runner.started).toEqual([]);
});
