/** The test house has one of each: one way to start the built server, one reader of /proc, one name for a fault. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { FIXTURES, ROOT } from "../harness/paths.mjs";
import { ORDERED_FAULTS } from "../soak/schedule.mjs";

/** The source files in which something is written, but for this one. */
function findFiles(pattern: RegExp): string[] {
  return ["src", "test", "bench", "scripts"].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .map((name) => path.join(folder, name))
      .filter((name) => /\.(?:ts|mjs)$/.test(name) && !name.includes("one-of-each"))
      .filter((name) => pattern.test(readFileSync(path.join(ROOT, name), "utf8"))),
  );
}

test.each([
  ["/proc/PID/stat is read", /\/stat`/, "src/sidecar/process/procfs.ts"],
  ["a program of dist/ is spawned", /\[[^\]]*\bMAIN\b/, "test/harness/built-server.mjs"],
  ["a sidecar program is put in place", /DALLE_SIDECAR_PROGRAM:/, "test/harness/built-server.mjs"],
  ["the fake sidecar is named", /fake_sidecar\.py"/, "test/harness/paths.mjs"],
])("%s in one file only", (_title, pattern, file) => {
  expect(findFiles(pattern)).toEqual([file]);
});

test("every fault that a soak orders is in the one table of faults", () => {
  const table = readFileSync(path.join(FIXTURES, "faults.py"), "utf8").split("\nFAULTS")[1] ?? "";
  const names = [...table.matchAll(/^ {4}"([a-z0-9-]+)":/gm)].map((match) => match[1]);
  expect(names).toEqual(expect.arrayContaining([...ORDERED_FAULTS]));
});
