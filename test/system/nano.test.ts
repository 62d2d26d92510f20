/** The whole path: the built server, the real sidecar, the embedded checkpoint. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { z } from "zod";
import { BuiltServer } from "../harness/built-server.mjs";
import { matching } from "../support/matchers.js";
import { isRunning } from "../support/processes.js";

const FIRST_COMPILE_LIMIT_MS = 300_000;
const answerSchema = z.object({
  generatedImages: z.array(z.base64()),
  generatedImgsFormat: z.literal("JPEG"),
});

let cacheDir: string;
let server: BuiltServer;

beforeAll(async () => {
  cacheDir = await mkdtemp(path.join(tmpdir(), "dalle-cache-"));
  server = await startReady();
}, FIRST_COMPILE_LIMIT_MS);

afterAll(async () => {
  await server.dispose();
  await rm(cacheDir, { recursive: true });
});

async function startReady(): Promise<BuiltServer> {
  const flags = ["--model_version", "Nano", "--cache_dir", cacheDir];
  const started = await BuiltServer.start({ flags });
  await started.untilReady();
  return started;
}

async function draw(from: BuiltServer, request: object): Promise<string[]> {
  const response = await from.post(request);
  expect(response.status).toBe(200);
  return answerSchema.parse(await response.json()).generatedImages;
}

async function untilDrawing(drawing: BuiltServer) {
  return drawing.untilHealth(({ queue }) => queue.runningImages > 0);
}

describe("pictures", () => {
  test("three of one sentence are JPEGs of the same size", async () => {
    const text = "a red circle on a blue background";
    const images = await draw(server, { text, num_images: 3 });
    expect(images).toHaveLength(3);
    for (const image of images) {
      const { format, width, height } = await sharp(Buffer.from(image, "base64")).metadata();
      expect({ format, width, height }).toEqual({ format: "jpeg", width: 128, height: 128 });
    }
  });

  test("the same seed gives the same bytes, alone and beside others", async () => {
    const request = { text: "a penguin", seed: 7 };
    const [alone] = await draw(server, request);
    const several = await draw(server, { ...request, num_images: 8 });
    const others = draw(server, { text: "two yellow hearts", num_images: 6 });
    const [beside] = await draw(server, request);
    await others;
    expect(several[0]).toBe(alone);
    expect(beside).toBe(alone);
    // Nano is sure of much: two seeds may well draw the same, eight do not.
    expect(new Set(several).size).toBeGreaterThan(1);
  });

  test("100 in one request come back complete", async () => {
    const images = await draw(server, { text: "a heart", num_images: 100, seed: 0 });
    expect(images).toHaveLength(100);
    // Nano knows few places and sizes: it repeats itself, but never draws one picture only.
    expect(new Set(images).size).toBeGreaterThan(5);
  });

  test("a sentence it cannot know still gives a picture", async () => {
    expect(await draw(server, { text: "quantum chromodynamics" })).toHaveLength(1);
  });

  test("health names the model, its size and the weights' hash", async () => {
    expect(await server.health()).toMatchObject({
      state: "ready",
      model: "Nano",
      sidecar: { imageSize: "128x128", checkpointHash: matching(/^[0-9a-f]{64}$/) },
    });
  });
});

describe("a server that ends", () => {
  test("by SIGTERM answers the running request and leaves no file and no process", async () => {
    const stopping = await startReady();
    onTestFinished(() => stopping.dispose());
    const answer = draw(stopping, { text: "a red square", num_images: 20 });
    const { sidecar } = await untilDrawing(stopping);
    const exited = stopping.stop();
    expect(await answer).toHaveLength(20);
    expect(await exited).toBe(0);
    expect(isRunning(sidecar.pid ?? Number.NaN)).toBe(false);
    expect(await stopping.listTemporary()).toEqual([]);
  });

  test("by SIGKILL takes its sidecar along", async () => {
    const killed = await startReady();
    onTestFinished(() => killed.dispose());
    const answer = killed.post({ text: "a red square", num_images: 20 }).catch(() => undefined);
    const { sidecar } = await untilDrawing(killed);
    killed.kill("SIGKILL");
    await answer;
    const expectDead = () => {
      expect(isRunning(sidecar.pid ?? 0)).toBe(false);
    };
    await vi.waitFor(expectDead, { timeout: 2_000 });
  });
});
