/** How the parts of src/ may import each other: the rules of eslint, and what they cannot see. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { ESLint } from "eslint";
import tseslint from "typescript-eslint";
import { describe, expect, test } from "vitest";
import { ROOT } from "../harness/paths.mjs";

const SRC = join(ROOT, "src");

function partOf(file: string): string {
  return (relative(SRC, file).split("/")[0] ?? "").replace(/\.[jt]s$/, "");
}

/** The source files that a source file imports. */
function localImportsOf(file: string): string[] {
  const matches = readFileSync(file, "utf8").matchAll(/\bfrom\s+"(\.{1,2}\/[^"]+)\.js"/g);
  return [...matches].map((match) => `${resolve(dirname(file), match[1] ?? "")}.ts`);
}

function exportedNamesOf(file: string): string[] {
  const declaration = /^export (?:async )?(?:type|interface|class|function|const|let) (\w+)/gm;
  return [...readFileSync(file, "utf8").matchAll(declaration)].map((match) => match[1] ?? "");
}

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => join(SRC, name));

/** What cannot be put into an order in which each imports only what comes before it. */
function findCircles(imports: ReadonlyMap<string, readonly string[]>): string[] {
  const open = new Map(imports);
  for (;;) {
    const done = [...open].filter(([, targets]) => targets.every((target) => !open.has(target)));
    if (done.length === 0) return [...open.keys()];
    for (const [name] of done) open.delete(name);
  }
}

// Without types, for the sample files do not exist: the import rules need none.
const eslint = new ESLint({ cwd: ROOT, overrideConfig: [tseslint.configs.disableTypeChecked] });

async function importErrorsOf(filePath: string, code: string): Promise<string[]> {
  const results = await eslint.lintText(code, { filePath: join(ROOT, filePath) });
  return results
    .flatMap((result) => result.messages)
    .filter((message) => message.ruleId?.startsWith("no-restricted") ?? true)
    .map((message) => message.message);
}

describe("the import rules", () => {
  test.each([
    ["src/http/sample.ts", 'import { Supervisor } from "../sidecar/supervisor.js";'],
    ["src/http/deep/sample.ts", 'import { Supervisor } from "../../sidecar/supervisor.js";'],
    ["src/http/sample.ts", 'import type { Supervisor } from "../sidecar/supervisor.js";'],
    ["src/sidecar/sample.ts", 'import { JobQueue } from "../jobs/queue.js";'],
    ["src/sidecar/link/sample.ts", 'import { JobQueue } from "../../jobs/queue.js";'],
    ["src/errors.ts", 'import { createLog } from "./log.js";'],
    ["src/service.ts", 'import type { Config } from "./config/config.js";'],
    ["src/config/config.ts", 'import pino from "pino";'],
    ["src/http/sample.ts", 'import sharp from "sharp";'],
    ["src/http/sample.ts", 'import { Registry } from "prom-client";'],
    ["src/jobs/sample.ts", 'import express from "express";'],
    ["src/jobs/sample.ts", 'import cors from "cors";'],
    ["src/images/sample.ts", 'import { spawn } from "node:child_process";'],
    ["src/sidecar/sample.ts", 'import { Router } from "zeromq";'],
    ["src/sidecar/link/transport.ts", 'import { execa } from "execa";'],
    ["src/sidecar/process/process.ts", 'import { Router } from "zeromq";'],
    ["src/main.ts", "export const port = process.env;"],
    ["src/http/sample.ts", 'export const load = () => import("sharp");'],
  ])("refuse in %s: %s", async (filePath, code) => {
    expect(await importErrorsOf(filePath, code)).not.toEqual([]);
  });

  test.each([
    ["src/main.ts", 'import { serve } from "./commands/serve.js";'],
    ["src/config/sample.ts", 'import type { ServiceSettings } from "../service.js";'],
    ["src/http/sample.ts", 'import { settings } from "./config.js";'],
    ["src/sidecar/link/transport.ts", 'import { Router } from "zeromq";'],
  ])("allow in %s: %s", async (filePath, code) => {
    expect(await importErrorsOf(filePath, code)).toEqual([]);
  });

  test("hold in every part: none may import main", async () => {
    const lower = files.filter((file) => partOf(file) !== "main");
    const errors = await Promise.all(
      lower.map((file) => {
        const up = relative(dirname(file), SRC) || ".";
        return importErrorsOf(relative(ROOT, file), `import { main } from "${up}/main.js";`);
      }),
    );
    expect(lower.filter((_, index) => errors[index]?.length === 0)).toEqual([]);
  });
});

describe("src/", () => {
  test("has no circle of imports, between files or between parts", () => {
    const imports = files.map((file) => [file, localImportsOf(file)] as const);
    const parts = new Map<string, string[]>();
    for (const [file, targets] of imports) {
      const part = partOf(file);
      const others = targets.map(partOf).filter((other) => other !== part);
      parts.set(part, [...(parts.get(part) ?? []), ...others]);
    }
    expect(findCircles(new Map(imports))).toEqual([]);
    expect(findCircles(parts)).toEqual([]);
  });

  test("exports no name twice", () => {
    const names = files.flatMap((file) => exportedNamesOf(file));
    expect(names.length).toBeGreaterThan(0);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });
});
