import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { formatModels } from "../../src/commands/models.js";
import { findWeightFiles } from "../../src/checkpoint/weight-files.js";
import { findWeights } from "../../src/checkpoint/installed.js";

/** The cases that test/python/test_shards.py holds the sidecar to. */
const casesSchema = z.array(
  z.object({
    name: z.string(),
    files: z.record(z.string(), z.string()),
    weights: z.array(z.string()).nullable(),
  }),
);
const CASES = fileURLToPath(new URL("../fixtures/weight-files.json", import.meta.url));
const cases = casesSchema.parse(JSON.parse(await readFile(CASES, "utf8")));

const SHARDS = ["flax_model-00001-of-00002.msgpack", "flax_model-00002-of-00002.msgpack"] as const;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "dalle-test-"));
});
afterEach(() => rm(folder, { recursive: true }));

describe("the files that hold a folder's weights are those that the sidecar reads", () => {
  test.each(cases)("$name", async ({ files, weights }) => {
    for (const [name, content] of Object.entries(files)) {
      await writeFile(path.join(folder, name), content);
    }
    const expected = weights?.map((name) => path.join(folder, name)) ?? null;
    expect(findWeightFiles(folder)).toEqual(expected);
  });
});

test("a folder that is not there has no weights", () => {
  expect(findWeightFiles(path.join(folder, "nowhere"))).toBeNull();
});

describe("a model of the hub whose weights are shards", () => {
  /** The snapshots of Mini, with 260 MB of holes for weights, and of the VQGAN. */
  async function addSnapshots(): Promise<string> {
    const mini = path.join(folder, "models--dalle-mini--dalle-mini", "snapshots", "abc123");
    const vqgan = path.join(
      folder,
      "models--dalle-mini--vqgan_imagenet_f16_16384",
      "snapshots",
      "abc123",
    );
    for (const snapshot of [mini, vqgan]) {
      await mkdir(snapshot, { recursive: true });
      await writeFile(path.join(snapshot, "config.json"), "{}");
      await writeFile(path.join(snapshot, "tokenizer.json"), "{}");
    }
    await writeFile(path.join(vqgan, "flax_model.msgpack"), "");
    const places = { "lm_head/kernel": SHARDS[1], "model/encoder/final_ln/bias": SHARDS[0] };
    const index = path.join(mini, "flax_model.msgpack.index.json");
    await writeFile(index, JSON.stringify({ weight_map: places }));
    for (const name of SHARDS) {
      await writeFile(path.join(mini, name), "");
      await truncate(path.join(mini, name), 130_000_000);
    }
    return mini;
  }

  test("is on this machine once all of them are", async () => {
    const places = { packageRoot: folder, hubCache: folder };
    const checkpoint = await addSnapshots();
    expect(findWeights("Mini", places)).toMatchObject({ checkpoint });
    await rm(path.join(checkpoint, SHARDS[1]));
    expect(findWeights("Mini", places)).toBeNull();
  });

  test("is listed with the size of all of them", async () => {
    const checkpoint = await addSnapshots();
    const table = formatModels({ packageRoot: folder, hubCache: folder }, 8);
    expect(table).toContain(`${checkpoint} (0.3 GB)`);
  });
});
