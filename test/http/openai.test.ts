/** `POST /v1/images/generations` as the official client library of OpenAI sends it. */
import OpenAI, {
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from "openai";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { AppError } from "../../src/errors.js";
import { FakeRunner, createLostError } from "../support/fake-runner.js";
import { FakeSidecar } from "../support/fake-sidecar-view.js";
import {
  startTestServer,
  type TestServer,
  type TestServerOptions,
} from "../support/test-server.js";

let server: TestServer;

async function start(options: TestServerOptions = {}): Promise<OpenAI> {
  server = await startTestServer(options);
  return new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
}

describe("the official OpenAI library for Node", () => {
  test("gets different base64 images, the true size and the token counts", async () => {
    const client = await start();
    const answer = await client.images.generate({
      prompt: "a red circle",
      n: 3,
      response_format: "b64_json",
    });
    const images = answer.data?.map(({ b64_json }) => z.base64().parse(b64_json));
    expect(new Set(images).size).toBe(3);
    expect(answer).toMatchObject({ size: "16x16", output_format: "png", background: "opaque" });
    expect(answer.usage).toMatchObject({ input_tokens: 3, output_tokens: 12, total_tokens: 15 });
    expect(Math.abs(answer.created - Date.now() / 1000)).toBeLessThan(60);
    expect(answer._request_id).toMatch(/^req_/);
    expect(answer.data?.every((image) => image.url === undefined)).toBe(true);
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
