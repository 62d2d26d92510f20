/** `POST /dalle` over a real socket: answers, seeds, cancelling, saving, refusals of the queue. */
import sharp from "sharp";
import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { AppError } from "../../src/errors.js";
import { FakeRunner, IMAGE_SIDE, createLostError } from "../support/fake-runner.js";
import { FakeSidecar } from "../support/fake-sidecar-view.js";
import {
  startTestServer,
  type TestServer,
  type TestServerOptions,
} from "../support/test-server.js";

const answerSchema = z.strictObject({
  generatedImages: z.array(z.base64()),
  generatedImgsFormat: z.string(),
  seeds: z.array(z.int()),
});
const errorSchema = z.object({
  error: z.object({ message: z.string(), code: z.string(), type: z.string() }),
});

let server: TestServer;
afterEach(() => server.close());

async function start(options: TestServerOptions = {}): Promise<void> {
  server = await startTestServer(options);
}

function post(body: unknown, init: RequestInit = {}): Promise<Response> {
  return fetch(`${server.url}/dalle`, { method: "POST", body: JSON.stringify(body), ...init });
}

async function postForImages(body: unknown) {
  return answerSchema.parse(await (await post(body)).json());
}

describe("POST /dalle", () => {
  test("answers with as many different decodable images as were asked for", async () => {
    await start();
    const answer = await postForImages({ text: "a red circle", num_images: 5 });
    expect(answer.generatedImgsFormat).toBe("JPEG");
    expect(new Set(answer.generatedImages).size).toBe(5);
    for (const image of answer.generatedImages) {
      const { format, width, height } = await sharp(Buffer.from(image, "base64")).metadata();
      expect({ format, width, height }).toEqual({
        format: "jpeg",
        width: IMAGE_SIDE,
        height: IMAGE_SIDE,
      });
    }
  });

  test.each([{ text: "a" }, { text: "a", num_images: null }])(
    "makes one image for %j",
    async (body) => {
      await start();
      expect((await postForImages(body)).generatedImages).toHaveLength(1);
    },
  );

  test("makes a hundred images for one request, even with a small queue", async () => {
    await start({ queueLimit: 10 });
    const answer = await postForImages({ text: "a", num_images: 100 });
    expect(new Set(answer.seeds).size).toBe(100);
    expect(answer.generatedImages).toHaveLength(100);
  });

  test("gives the same bytes for the same seed, and counts seeds up modulo 2^32", async () => {
    await start();
    const body = { text: "a", num_images: 3, seed: 2 ** 32 - 1 };
    const first = await postForImages(body);
    const second = await postForImages(body);
    expect(first).toEqual(second);
    expect(first.seeds).toEqual([2 ** 32 - 1, 0, 1]);
  });

  test("draws another seed for each request without one", async () => {
    await start();
    const first = await postForImages({ text: "a" });
    const second = await postForImages({ text: "a" });
    expect(first.seeds).not.toEqual(second.seeds);
  });

  test.each([
    [
      { cond_scale: 5, temperature: 0.5, top_k: 0, top_p: 0.9 },
      { condScale: 5, temperature: 0.5, topK: 0, topP: 0.9 },
    ],
    [{ cfg_scale: 4 }, { condScale: 4, temperature: null, topK: null, topP: null }],
    [
      { guidance_scale: 3, cond_scale: null },
      { condScale: 3, temperature: null, topK: null, topP: null },
    ],
  ])("hands the sampling settings %j on", async (fields, sampling) => {
    await start();
    await postForImages({ text: "a", ...fields });
    expect(server.runner.started[0]?.sampling).toEqual(sampling);
  });

  test.each([
    ["no", undefined],
    ["a plain text", "text/plain;charset=UTF-8"],
    ["curl's", "application/x-www-form-urlencoded"],
    ["a wrong charset", "application/json; charset=latin1"],
    ["a broken", "nonsense"],
  ])("reads the body as JSON with %s Content-Type", async (_name, contentType) => {
    await start();
    const headers = contentType === undefined ? {} : { "content-type": contentType };
    const bytes = new TextEncoder().encode(JSON.stringify({ text: "ein Käse 🧀" }));
    const response = await post(null, { body: bytes, headers });
    expect(response.status).toBe(200);
    expect(server.runner.started[0]?.prompt).toBe("ein Käse 🧀");
  });

  test.each(["PNG", "WEBP"] as const)(
    "encodes as %s when the server is set to it",
    async (name) => {
      await start({ format: name === "PNG" ? "png" : "webp" });
      const answer = await postForImages({ text: "a" });
      const { format } = await sharp(
        Buffer.from(answer.generatedImages[0] ?? "", "base64"),
      ).metadata();
      expect(answer.generatedImgsFormat).toBe(name);
      expect(format).toBe(name.toLowerCase());
    },
  );

  test.each([
    ["half of a surrogate pair", "a \ud83d cat", "a \ufffd cat"],
    ["zero characters", "a\u0000b", "a\u0000b"],
    ["4000 emoji", "🐈".repeat(4000), "🐈".repeat(4000)],
    ["the names of object members", "__proto__ constructor", "__proto__ constructor"],
  ])("takes a prompt with %s", async (_name, text, seen) => {
    await start();
    expect((await post({ text })).status).toBe(200);
    expect(server.runner.started[0]?.prompt).toBe(seen);
  });

  test("lets unknown fields pass", async () => {
    await start();
    const body = `{"text": "a", "model_name": "x", "__proto__": {"num_images": 7}, "steps": 3}`;
    const response = await post(null, { body });
    expect(answerSchema.parse(await response.json()).generatedImages).toHaveLength(1);
  });

  test("writes the specified log line with line breaks neutralised", async () => {
    await start();
    await post({ text: "a\nfake line\u001b[2J\u2028", num_images: 2 });
    const messages = server.logLines.map((line) => line["msg"]);
    expect(messages).toContain(
      String.raw`Created 2 images from text prompt [a\nfake line\u{1b}[2J\u{2028}]`,
    );
  });
});

describe("when a request cannot be served", () => {
  test("a full queue answers 429 with a Retry-After from 1 to 60", async () => {
    await start({ runner: new FakeRunner({ seats: 1, isHolding: true }), queueLimit: 2 });
    const running = post({ text: "a", num_images: 3 });
    await server.runner.untilStarted(1);
    const response = await post({ text: "b" });
    const { error } = errorSchema.parse(await response.json());
    expect(response.status).toBe(429);
    expect(error).toMatchObject({ code: "queue_full", type: "rate_limit_error" });
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(Number(response.headers.get("retry-after"))).toBeLessThanOrEqual(60);
    expect(response.headers.get("x-should-retry")).toBe("true");
    expect(response.headers.get("access-control-expose-headers")).toContain("retry-after");
    server.queue.failAll(new AppError("generation_failed", "over"));
    await running;
  });

  test("a loading model answers 503 with its phase and a Retry-After", async () => {
    const sidecar = new FakeSidecar("loading");
    sidecar.set({
      phase: {
        name: "compile",
        done: 1,
        total: 3,
        unit: "programs",
        perSecond: 0.1,
        secondsLeft: 20,
      },
    });
    await start({ sidecar });
    const response = await post({ text: "a" });
    const { error } = errorSchema.parse(await response.json());
    expect(response.status).toBe(503);
    expect(error.code).toBe("not_ready");
    expect(error.message).toContain("compile: 1 of 3 programs");
    expect(response.headers.get("retry-after")).toBe("5");
  });

  test("a sidecar that is lost once is not noticed by the client", async () => {
    await start({ runner: new FakeRunner({ isHolding: true }) });
    const answer = post({ text: "a", seed: 7 });
    await server.runner.untilStarted(1);
    server.runner.loseAll();
    server.runner.comeBack();
    await server.runner.untilStarted(2);
    server.runner.finishNext();
    expect(answerSchema.parse(await (await answer).json()).seeds).toEqual([7]);
    expect(server.runner.started.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  test("a prompt that loses the sidecar twice answers 500 and is not to be retried", async () => {
    await start({ runner: new FakeRunner({ isHolding: true }) });
    const answer = post({ text: "a" });
    await server.runner.untilStarted(1);
    server.runner.failNext(createLostError());
    await server.runner.untilStarted(2);
    server.runner.failNext(createLostError());
    const response = await answer;
    expect(response.status).toBe(500);
    expect(errorSchema.parse(await response.json()).error.code).toBe("sidecar_crashed");
    expect(response.headers.get("x-should-retry")).toBe("false");
  });

  test("a request over its deadline answers 504 and is not to be retried", async () => {
    await start({ runner: new FakeRunner({ isHolding: true }), requestTimeoutMs: 1 });
    const response = await post({ text: "a" });
    expect(response.status).toBe(504);
    expect(errorSchema.parse(await response.json()).error.code).toBe("deadline_exceeded");
    expect(response.headers.get("x-should-retry")).toBe("false");
  });

  test("a fault that nobody foresaw answers 500 without its details, which go to the log", async () => {
    await start({ runner: new FakeRunner({ isHolding: true }) });
    const answer = post({ text: "a" });
    await server.runner.untilStarted(1);
    server.runner.failNext(new Error("secret detail in /root/file.ts:12"));
    const response = await answer;
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(text).not.toContain("secret");
    expect(JSON.stringify(server.logLines)).toContain("secret detail");
  });
});
