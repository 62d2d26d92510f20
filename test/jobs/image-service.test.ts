import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { createEncoder } from "../../src/images/encode.js";
import { ImageStore } from "../../src/images/store.js";
import { ImageService, type ImageRequest } from "../../src/jobs/image-service.js";
import { createLogger } from "../../src/log.js";
import { FakeRunner } from "../support/fake-runner.js";
import { makeFolder } from "../support/folder.js";
import { createTestQueue, DEFAULT_SAMPLING } from "../support/test-queue.js";

const REQUEST: ImageRequest = {
  prompt: "a red circle",
  seeds: [7, 8, 7],
  sampling: DEFAULT_SAMPLING,
  output: { format: "png", quality: null },
};

/** Of a caller who does not leave. */
const STAYING = new AbortController().signal;

function setUp(store: ImageStore | null = null, isHolding = false) {
  const runner = new FakeRunner({ isHolding });
  const { queue } = createTestQueue(runner, { encoder: createEncoder() });
  const log = createLogger("silent");
  const service = new ImageService({ broker: queue, store, requestTimeoutMs: 60_000, log });
  return { runner, queue, service };
}

describe("a request", () => {
  test("gets image i with seed i, drawn once each, even when two come out equal", async () => {
    const { runner, service } = setUp();
    const { images } = await service.generate(REQUEST, STAYING);
    expect(images.map(({ seed }) => seed)).toEqual([7, 8, 7]);
    const [first, second, third] = images.map(({ pixelDigest }) => pixelDigest);
    expect(first).toBe(third);
    expect(first).not.toBe(second);
    expect(runner.started).toHaveLength(3);
  });

  test("is answered with the tokens of its prompt once and of all its images", async () => {
    const { service } = setUp();
    expect(await service.generate(REQUEST, STAYING)).toMatchObject({
      textTokens: 3,
      imageTokens: 3 * 4,
    });
  });

  test("has on disk what it was answered", async () => {
    const folder = makeFolder();
    const { service } = setUp(new ImageStore(folder));
    const { images } = await service.generate(REQUEST, STAYING);
    const [saved = ""] = await readdir(folder);
    const files = ["0.png", "1.png", "2.png"].map((name) => path.join(folder, saved, name));
    expect(await Promise.all(files.map((file) => readFile(file)))).toEqual(
      images.map(({ bytes }) => bytes),
    );
  });
});

describe("a caller who leaves", () => {
  test("ends the job, unless its images are saved", async () => {
    const leaving = new AbortController();
    const { queue, service } = setUp(null, true);
    const answer = service.generate(REQUEST, leaving.signal);
    leaving.abort();
    await expect(answer).rejects.toMatchObject({ code: "cancelled" });
    expect(queue.report()).toMatchObject({ openJobs: 0, cancelledJobs: 1 });
  });

  test("before the job is submitted costs nothing", async () => {
    const { runner, queue, service } = setUp();
    await expect(service.generate(REQUEST, AbortSignal.abort())).rejects.toThrow("went away");
    expect(queue.report().openJobs).toBe(0);
    expect(runner.started).toEqual([]);
  });
});
