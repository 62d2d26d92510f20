/** `POST /dalle` over a real socket: what reaches the sidecar, what comes back, and faults in between. */
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { FakeRunner } from "../support/fake-runner.js";
import { startTestServer, type TestServer } from "../support/test-server.js";

const answerSchema = z.strictObject({
  generatedImages: z.array(z.base64()),
  generatedImgsFormat: z.literal("JPEG"),
  seeds: z.array(z.int()),
});

async function postForImages(server: TestServer, body: object) {
  return answerSchema.parse(await (await server.post(body)).json());
}

describe("POST /dalle", () => {
  test("answers with as many images as were asked for, each with its seed", async () => {
    const server = await startTestServer();
    const { generatedImages, seeds } = await postForImages(server, {
      text: "a",
      num_images: 5,
      seed: 3,
    });
    expect(new Set(generatedImages).size).toBe(5);
    expect(seeds).toEqual([3, 4, 5, 6, 7]);
  });

  test("draws another seed for each request without one", async () => {
    const server = await startTestServer();
    const first = await postForImages(server, { text: "a" });
    const second = await postForImages(server, { text: "a" });
    expect(first.seeds).not.toEqual(second.seeds);
  });

  const none = { condScale: null, temperature: null, topK: null, topP: null };
  test.each([
    [
      { cond_scale: 5, temperature: 0.5, top_k: 0, top_p: 0.9 },
      { condScale: 5, temperature: 0.5, topK: 0, topP: 0.9 },
    ],
    [{ cfg_scale: 4 }, { ...none, condScale: 4 }],
    [
      { guidance_scale: 3, cond_scale: null },
      { ...none, condScale: 3 },
    ],
  ])("hands the sampling settings %j on", async (fields, sampling) => {
    const server = await startTestServer();
    await postForImages(server, { text: "a", ...fields });
    expect(server.runner.started).toMatchObject([{ prompt: "a", sampling }]);
  });

  test.each([
    ["half of a surrogate pair", "a \ud83d cat", "a \ufffd cat"],
    ["4000 emoji", "🐈".repeat(4000), "🐈".repeat(4000)],
  ])("hands a prompt with %s on", async (_name, text, prompt) => {
    const server = await startTestServer();
    await postForImages(server, { text });
    expect(server.runner.started).toMatchObject([{ prompt }]);
  });

  test("answers a fault that nothing foresaw without its details, which go to the log", async () => {
    const server = await startTestServer({ runner: new FakeRunner({ isHolding: true }) });
    const answer = server.post({ text: "a" });
    await server.runner.untilStarted(1);
    server.runner.failNext(new Error("secret detail in /root/file.ts:12"));
    const response = await answer;
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("secret");
    expect(JSON.stringify(server.logLines)).toContain("secret detail");
  });
});
