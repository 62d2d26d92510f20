import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createEncoder } from "../../src/images/encode.js";
import { ImageStore } from "../../src/images/store.js";
import { PictureGenerator, type GenerateRequest } from "../../src/jobs/image-service.js";
import { JobQueue } from "../../src/jobs/queue.js";
import { createLogger } from "../../src/log.js";
import { FakeRunner, paintInOrder } from "../support/fake-runner.js";

const DEFAULTS = { condScale: null, temperature: null, topK: null, topP: null };
const REQUEST: GenerateRequest = {
  prompt: "a red circle",
  imageCount: 3,
  seed: null,
  sampling: DEFAULTS,
  format: "png",
  quality: null,
};
/** Of three images the last is equal to the first; drawn again it is another. */
const PICTURES = [1, 2, 1, 3];

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "dalle-generator-"));
});
afterEach(() => rm(folder, { recursive: true }));

interface Setup {
  readonly store?: ImageStore | null;
  readonly isHolding?: boolean;
}

function setUp({ store = null, isHolding = false }: Setup = {}) {
  const runner = new FakeRunner({ isHolding, paint: paintInOrder(PICTURES) });
  const broker = new JobQueue({ runner, queueLimit: 100, deathLimit: 2, refusal: () => null });
  const options = { broker, encoder: createEncoder(), requestTimeoutMs: 60_000 };
  const generator = new PictureGenerator({ ...options, store, log: createLogger("silent") });
  const generate = (changes: Partial<GenerateRequest>) =>
    generator.generate({ ...REQUEST, ...changes }, new AbortController().signal);
  return { runner, generate };
}

const countDifferent = (images: readonly { readonly bytes: Buffer }[]) =>
  new Set(images.map(({ bytes }) => bytes.toString("base64"))).size;

describe("a request without a seed", () => {
  test("gets images that differ, with the seeds that made them", async () => {
    const { runner, generate } = setUp({ isHolding: true });
    const generated = generate({});
    for (let count = 0; count < 3; count += 1) runner.finishNext();
    await runner.untilStarted(4);
    runner.finishNext();
    const { images } = await generated;
    const [first, second, , fourth] = runner.started.map(({ seed }) => seed);
    expect(countDifferent(images)).toBe(3);
    expect(images.map(({ seed }) => seed)).toEqual([first, second, fourth]);
  });

  test("is told the tokens of the images in its answer, not of those given up", async () => {
    const { generate } = setUp();
    expect(await generate({})).toMatchObject({ textTokens: 3, imageTokens: 3 * 4 });
  });

  test("has on disk what it was answered", async () => {
    const { generate } = setUp({ store: new ImageStore(folder) });
    const { images } = await generate({});
    const [saved = ""] = await readdir(folder);
    const files = await readdir(path.join(folder, saved));
    const bytes = await Promise.all(files.map((name) => readFile(path.join(folder, saved, name))));
    expect(bytes.map((file) => file.toString("base64")).toSorted()).toEqual(
      images.map((image) => image.bytes.toString("base64")).toSorted(),
    );
  });

  test("is drawn once where no seed could change the picture", async () => {
    const { runner, generate } = setUp();
    const { images } = await generate({ sampling: { ...DEFAULTS, topK: 1 } });
    expect(countDifferent(images)).toBe(2);
    expect(runner.started).toHaveLength(3);
  });
});

test("with a seed, image i has seed + i even when two are equal", async () => {
  const { runner, generate } = setUp();
  const { images } = await generate({ seed: 7 });
  expect(images.map(({ seed }) => seed)).toEqual([7, 8, 9]);
  expect(countDifferent(images)).toBe(2);
  expect(runner.started).toHaveLength(3);
});
