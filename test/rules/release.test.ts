/** What has to be equal in a release: both halves are installed together. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { z } from "zod";

function readText(name: string): string {
  return readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
}

const packageSchema = z.object({ version: z.string().regex(/^\d+\.\d+\.\d+$/) });

test("the server, its lock file and the sidecar have one version", () => {
  const { version } = packageSchema.parse(JSON.parse(readText("package.json")));

  expect(packageSchema.parse(JSON.parse(readText("package-lock.json"))).version).toBe(version);
  expect(readText("sidecar/__init__.py")).toContain(`__version__ = "${version}"\n`);
});
