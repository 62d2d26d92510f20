/** The files that hold the weights of a folder, as the sidecar finds them. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { findWeightFiles } from "../../src/checkpoint/weight-files.js";

/** The cases that test/python/checkpoint/test_shards.py holds the sidecar to. */
const casesSchema = z.array(
  z.object({
    name: z.string(),
    files: z.record(z.string(), z.string()),
    weights: z.array(z.string()).nullable(),
  }),
);
const CASES = fileURLToPath(new URL("../fixtures/weight-files.json", import.meta.url));
const cases = casesSchema.parse(JSON.parse(await readFile(CASES, "utf8")));

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
