/** How the parts of src/ may import each other: the rules of eslint, and what they cannot see. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { ESLint } from "eslint";
import tseslint from "typescript-eslint";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The parts of src/ from top to bottom; the two of one line do not know each other. */
const LAYERS = [
  ["main"],
  ["commands"],
  ["config"],
  ["service"],
  ["http"],
  ["health"],
  ["jobs"],
  ["sidecar", "images", "checkpoint"],
  ["wire"],
  ["errors", "log"],
];

const MOST_FILES = 15;

function layerOf(part: string): number {
  return LAYERS.findIndex((parts) => parts.includes(part));
}

function partOf(file: string): string {
  return (relative(join(root, "src"), file).split("/")[0] ?? "").replace(/\.[jt]s$/, "");
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

function sourceFiles(): string[] {
  return readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(root, "src", name));
}

// Without types, for the sample files do not exist: the import rules need none.
const eslint = new ESLint({ cwd: root, overrideConfig: [tseslint.configs.disableTypeChecked] });

async function importErrorsOf(filePath: string, code: string): Promise<string[]> {
  const results = await eslint.lintText(code, { filePath: join(root, filePath) });
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
    ["src/http/sample.ts", 'import { decode } from "../wire/frames.js";'],
    ["src/http/sample.ts", 'import { execa } from "execa";'],
    ["src/http/sample.ts", 'import sharp from "sharp";'],
    ["src/http/sample.ts", 'import { Registry } from "prom-client";'],
    ["src/health/sample.ts", 'import { createApp } from "../http/app.js";'],
    ["src/jobs/sample.ts", 'import { createApp } from "../http/app.js";'],
    ["src/jobs/sample.ts", 'import express from "express";'],
    ["src/sidecar/sample.ts", 'import { JobQueue } from "../jobs/queue.js";'],
    ["src/sidecar/sample.ts", 'import { Router } from "zeromq";'],
    ["src/sidecar/link/transport.ts", 'import { execa } from "execa";'],
    ["src/sidecar/process/process.ts", 'import { Router } from "zeromq";'],
    ["src/sidecar/sample.ts", 'import { encodeImage } from "../images/encode.js";'],
    ["src/images/sample.ts", 'import { spawn } from "node:child_process";'],
    ["src/images/sample.ts", 'import { Supervisor } from "../sidecar/supervisor.js";'],
    ["src/wire/frames.ts", 'import { Supervisor } from "../sidecar/supervisor.js";'],
    ["src/errors.ts", 'import { createLog } from "./log.js";'],
    ["src/log.ts", 'import { AppError } from "./errors.js";'],
    ["src/config/config.ts", 'import pino from "pino";'],
    ["src/config/config.ts", 'import { formatHelp } from "../commands/help.js";'],
    ["src/checkpoint/sample.ts", 'import type { Settings } from "../config/flags.js";'],
    ["src/service.ts", 'import type { Config } from "./config/config.js";'],
    ["src/main.ts", "export const port = process.env;"],
    ["src/http/sample.ts", 'import { main } from "../main.js";'],
    ["src/http/sample.ts", 'export const load = () => import("sharp");'],
    ["src/http/sample.ts", "export const port = process.env;"],
  ])("refuse in %s: %s", async (filePath, code) => {
    expect(await importErrorsOf(filePath, code)).not.toEqual([]);
  });

  test.each([
    ["src/main.ts", 'import { serve } from "./commands/serve.js";'],
    ["src/config/sample.ts", 'import type { ServiceSettings } from "../service.js";'],
    ["src/http/sample.ts", 'import express from "express";'],
    ["src/http/sample.ts", 'import { JobQueue } from "../jobs/queue.js";'],
    ["src/http/sample.ts", 'import { sendJson } from "./responses.js";'],
    ["src/http/sample.ts", 'import { settings } from "./config.js";'],
    ["src/jobs/sample.ts", 'import type { TaskRunner } from "../sidecar/runner.js";'],
    ["src/sidecar/link/transport.ts", 'import { Router } from "zeromq";'],
    ["src/sidecar/process/process.ts", 'import { execa } from "execa";'],
    ["src/images/sample.ts", 'import sharp from "sharp";'],
    ["src/log.ts", 'import { pino } from "pino";'],
    ["src/health/sample.ts", 'import { Registry } from "prom-client";'],
    ["src/wire/frames.ts", 'import { z } from "zod";'],
  ])("allow in %s: %s", async (filePath, code) => {
    expect(await importErrorsOf(filePath, code)).toEqual([]);
  });
});

describe("src/", () => {
  test("has only parts that the layers name", () => {
    const unknown = sourceFiles().filter((file) => layerOf(partOf(file)) === -1);
    expect(unknown).toEqual([]);
  });

  test("imports only downwards", () => {
    const upward = sourceFiles().flatMap((file) =>
      localImportsOf(file)
        .filter((target) => partOf(target) !== partOf(file))
        .filter((target) => layerOf(partOf(target)) <= layerOf(partOf(file)))
        .map((target) => `${relative(root, file)} -> ${relative(root, target)}`),
    );
    expect(upward).toEqual([]);
  });

  test("has no circle of imports", () => {
    const open = new Map(sourceFiles().map((file) => [file, localImportsOf(file)]));
    for (;;) {
      const done = [...open].filter(([, targets]) => targets.every((file) => !open.has(file)));
      if (done.length === 0) break;
      for (const [file] of done) open.delete(file);
    }
    expect([...open.keys()].map((file) => relative(root, file))).toEqual([]);
  });

  test("exports no name twice", () => {
    const names = sourceFiles().flatMap((file) => exportedNamesOf(file));
    expect(names.length).toBeGreaterThan(0);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });
});

test.each(["src", "sidecar", "training", "scripts", "bench", "test"])(
  "no folder in %s has more than 15 source files",
  (top) => {
    const counts = new Map<string, number>();
    const entries = readdirSync(join(root, top), { recursive: true, withFileTypes: true });
    for (const { name, parentPath } of entries) {
      if (!/\.(ts|py|mjs)$/.test(name) || /node_modules|fixtures/.test(parentPath)) continue;
      counts.set(parentPath, (counts.get(parentPath) ?? 0) + 1);
    }
    expect(counts.size).toBeGreaterThan(0);
    expect([...counts].filter(([, count]) => count > MOST_FILES)).toEqual([]);
  },
);
