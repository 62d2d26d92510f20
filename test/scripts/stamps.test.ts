/** The hashes and stamps by which the set-up knows what is done. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { hashInputs, readStamp, writeStamp } from "../../scripts/lib/stamps.mjs";
import { makeFolder } from "../support/folder.js";

let root: string;

beforeEach(() => {
  root = makeFolder();
  mkdirSync(join(root, "src", "deep"), { recursive: true });
  writeFileSync(join(root, "src", "a.ts"), "a");
  writeFileSync(join(root, "src", "deep", "b.ts"), "b");
});

describe("the hash of a step's inputs", () => {
  test("stays the same while nothing changes", () => {
    expect(hashInputs(root, ["src"], ["v1"])).toBe(hashInputs(root, ["src"], ["v1"]));
  });

  test.each<[string, Record<string, string | null>]>([
    ["a file's content", { "src/deep/b.ts": "c" }],
    ["a file's name", { "src/a.ts": null, "src/z.ts": "a" }],
    ["a new file", { "src/deep/c.ts": "" }],
    ["a removed file", { "src/a.ts": null }],
  ])("changes with %s", (_, changes) => {
    const before = hashInputs(root, ["src"], []);
    for (const [name, content] of Object.entries(changes)) {
      if (content === null) rmSync(join(root, name));
      else writeFileSync(join(root, name), content);
    }
    expect(hashInputs(root, ["src"], [])).not.toBe(before);
  });

  test("changes with a version", () => {
    expect(hashInputs(root, ["src"], ["node 20"])).not.toBe(hashInputs(root, ["src"], ["node 22"]));
  });

  test("does not depend on where the folder is", () => {
    const other = makeFolder();
    writeFileSync(join(other, "lock"), "x");
    writeFileSync(join(root, "lock"), "x");
    expect(hashInputs(other, ["lock"], [])).toBe(hashInputs(root, ["lock"], []));
  });

  test("takes a missing file as nothing", () => {
    expect(hashInputs(root, ["missing"], [])).toBe(hashInputs(root, [], []));
  });
});

describe("a stamp", () => {
  test("holds what was written, in a folder made for it, and leaves no draft", () => {
    const file = join(root, ".setup", "build.stamp");
    writeStamp(file, "abc");
    expect(readStamp(file)).toBe("abc");
    expect(readdirSync(join(root, ".setup"))).toEqual(["build.stamp"]);
  });

  test("that is missing or removed reads as null", () => {
    const file = join(root, "build.stamp");
    expect(readStamp(file)).toBeNull();
    writeStamp(file, "abc");
    rmSync(file);
    expect(readStamp(file)).toBeNull();
  });
});
