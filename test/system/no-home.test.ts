/** A user without a home, and cache folders that cannot be used, as they are in containers. */
import { chmodSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { runServer } from "../harness/built-server.mjs";
import { fakeSidecar } from "../harness/sidecar-program.mjs";
import { makeFolder } from "../support/folder.js";
import { startServer } from "../support/server.js";

describe("the server becomes ready without its cache, and warns once with the remedy,", () => {
  test.each([
    ["a home that does not exist and cannot be made", () => ({ HOME: "/proc/nonexistent" })],
    ["a cache folder that is a file", () => ({ XDG_CACHE_HOME: makeFile() })],
    ["a home that is a device", () => ({ HOME: "/dev/null" })],
  ] as const)("with %s", async (_title, makeEnv) => {
    const program = fakeSidecar();
    const flags = ["--checkpoint", "{folder}"];
    const server = await startServer({ program, flags, env: makeEnv() });
    await server.untilReady();
    const warnings = server.lines.filter(({ level }) => level === "warn").map(({ msg }) => msg);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^Compiled programs are not kept .*--cache_dir/);
    expect((await server.post({ text: "a" })).status).toBe(200);
  });
});

function makeFile(): string {
  const file = path.join(makeFolder(), "cache");
  writeFileSync(file, "");
  chmodSync(file, 0o444);
  return file;
}

test.each([["--help"], ["--version"], ["models"]])("%s needs no home", async (word) => {
  const env = { HOME: "/nonexistent", XDG_CACHE_HOME: "" };
  expect(await runServer([word], env)).toMatchObject({ code: 0, stderr: "" });
});
