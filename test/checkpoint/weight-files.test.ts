/** The files that hold the weights of a folder, as the sidecar finds them. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { findWeightFiles } from "../../src/checkpoint/weight-files.js";
import { FIXTURES } from "../harness/paths.mjs";
import { makeFolder } from "../support/folder.js";

/** The cases that test/python/checkpoint/test_shards.py holds the sidecar to. */
const casesSchema = z.array(
  z.object({
    name: z.string(),
    files: z.record(z.string(), z.string()),
    weights: z.array(z.string()).nullable(),
  }),
);
const CASES = path.join(FIXTURES, "weight-files.json");
const cases = casesSchema.parse(JSON.parse(await readFile(CASES, "utf8")));

test.each(cases)("the sidecar and the server find the same weights: $name", async (one) => {
  const folder = makeFolder();
  for (const [name, content] of Object.entries(one.files)) {
    await writeFile(path.join(folder, name), content);
  }
  const expected = one.weights?.map((name) => path.join(folder, name)) ?? null;
  expect(findWeightFiles(folder)).toEqual(expected);
});

test("a folder that is not there has no weights", () => {
  expect(findWeightFiles(path.join(makeFolder(), "nowhere"))).toBeNull();
});
