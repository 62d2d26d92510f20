/** `POST /v1/images/generations` as the official client library of OpenAI sends it. */
import OpenAI, {
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from "openai";
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

const SIZE = `${IMAGE_SIDE}x${IMAGE_SIDE}`;

let server: TestServer;
afterEach(() => server.close());

async function start(options: TestServerOptions = {}): Promise<OpenAI> {
  server = await startTestServer(options);
  return new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
}

function decode(image: OpenAI.Image | undefined): Buffer {
  return Buffer.from(z.base64().parse(image?.b64_json), "base64");
}

describe("the official OpenAI library for Node", () => {
  test("gets different base64 images, the true size and the token counts", async () => {
    const client = await start();
    const answer = await client.images.generate({
      prompt: "a red circle",
      n: 3,
      response_format: "b64_json",
    });
    const images = (answer.data ?? []).map((image) => decode(image).toString("base64"));
    expect(new Set(images).size).toBe(3);
    expect(answer).toMatchObject({ size: SIZE, output_format: "png", background: "opaque" });
    expect(answer.usage).toMatchObject({ input_tokens: 3, output_tokens: 12, total_tokens: 15 });
    expect(Math.abs(answer.created - Date.now() / 1000)).toBeLessThan(60);
    expect(answer._request_id).toMatch(/^req_/);
    expect(answer.data?.every((image) => image.url === undefined)).toBe(true);
  });

  test.each([
    [{}, "png"],
    [{ output_format: "png" }, "png"],
    [{ output_format: "jpeg", output_compression: 0 }, "jpeg"],
    [{ output_format: "webp", output_compression: 80 }, "webp"],
  ] as const)("gets the format of %j", async (fields, format) => {
    const client = await start();
    const answer = await client.images.generate({ prompt: "a", ...fields });
    expect((await sharp(decode(answer.data?.[0])).metadata()).format).toBe(format);
    expect(answer.output_format).toBe(format);
  });

  test.each([
    ["dall-e-3", { size: "1792x1024", quality: "hd", style: "natural", user: "me" }],
    ["dall-e-2", { size: "512x512" }],
    ["gpt-image-1", { background: "auto", moderation: "low", quality: "high", size: "auto" }],
    ["dalle-nano", { stream: false }],
    [null, { n: null, size: null, quality: null, response_format: null }],
  ] as const)("is served as %s with the settings that go with it", async (model, fields) => {
    const client = await start();
    const answer = await client.images.generate({ prompt: "a", model, ...fields });
    expect(answer.data).toHaveLength(1);
    expect(answer).toMatchObject({ size: SIZE });
  });

  test("gives the same image for the same seed and says which seeds were used", async () => {
    const client = await start();
    const ask = (fields: object) => client.images.generate({ prompt: "a", ...fields });
    const answer = await ask({ n: 2, seed: 41, cond_scale: 3 });
    const again = await ask({ seed: 42, cond_scale: 3 });
    expect(answer.data).toMatchObject([{ seed: 41 }, { seed: 42 }]);
    expect(again.data?.[0]?.b64_json).toBe(answer.data?.[1]?.b64_json);
  });

  test("lists the models with the names that other programs look for", async () => {
    const client = await start();
    const ids = (await client.models.list()).data.map(({ id }) => id);
    expect(ids).toEqual(["dalle-nano", "dall-e-2", "dall-e-3", "gpt-image-1"]);
    expect(await client.models.retrieve("gpt-image-1")).toMatchObject({
      object: "model",
      root: "dalle-nano",
    });
  });

  test("throws the error class of each status", async () => {
    const client = await start();
    const ask = (fields: object) => client.images.generate({ prompt: "a", ...fields });
    await expect(ask({ n: 11 })).rejects.toThrow(BadRequestError);
    await expect(ask({ n: 11 })).rejects.toMatchObject({
      status: 400,
      param: "n",
      code: "invalid_value",
    });
    await expect(ask({ stream: true })).rejects.toMatchObject({ code: "unsupported_value" });
    await expect(ask({ model: "sdxl" })).rejects.toThrow(NotFoundError);
    await expect(client.models.retrieve("sdxl")).rejects.toMatchObject({ code: "model_not_found" });
  });

  test("throws RateLimitError on a full queue", async () => {
    const runner = new FakeRunner({ seats: 1, isHolding: true });
    const client = await start({ runner, queueLimit: 1 });
    const running = client.images.generate({ prompt: "a", n: 2 });
    await runner.untilStarted(1);
    await expect(client.images.generate({ prompt: "b" })).rejects.toThrow(RateLimitError);
    server.queue.failAll(new AppError("generation_failed", "over"));
    await expect(running).rejects.toThrow(InternalServerError);
  });

  test("retries while the model loads, and gets its images once it is ready", async () => {
    const sidecar = new FakeSidecar("backing_off");
    const client = await start({ sidecar });
    const answer = client.images.generate({ prompt: "a" }, { maxRetries: 2 });
    sidecar.set({ state: "ready" });
    expect((await answer).data).toHaveLength(1);
  });

  test("does not repeat a prompt that crashed the sidecar", async () => {
    const client = await start({ runner: new FakeRunner({ isHolding: true }) });
    const answer = client.images.generate({ prompt: "a" }, { maxRetries: 2 });
    const refused = expect(answer).rejects.toMatchObject({ status: 500, code: "sidecar_crashed" });
    await server.runner.untilStarted(1);
    server.runner.failNext(createLostError());
    await server.runner.untilStarted(2);
    server.runner.failNext(createLostError());
    await refused;
    expect(server.runner.started).toHaveLength(2);
  });
});

describe("other clients of the same interface", () => {
  test.each([
    "/v1/images/generations",
    "/images/generations",
    "//v1//images/generations?api-version=1",
  ])("the request of openai.Image.create (0.28) works on %s", async (path) => {
    await start();
    const response = await fetch(server.url + path, {
      method: "POST",
      headers: {
        "X-OpenAI-Client-User-Agent": `{"bindings_version": "0.28.1"}`,
        "User-Agent": "OpenAI/v1 PythonBindings/0.28.1",
        Authorization: "Bearer anything",
        "Content-Type": "application/json",
        Accept: "*/*",
      },
      body: JSON.stringify({ prompt: "a", n: 2, size: "256x256", response_format: "b64_json" }),
    });
    const body = z.looseObject({
      created: z.int(),
      data: z.array(z.object({ b64_json: z.base64(), seed: z.int() })).length(2),
    });
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(body.parse(await response.json()).data).toHaveLength(2);
  });
});
