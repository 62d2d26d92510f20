/** The set-up of the package: which steps it runs, repeats and leaves out. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { takeLock } from "../../scripts/lib/lock.mjs";
import { makeFolder } from "../support/folder.js";
import { PATIENCE } from "../support/processes.js";

const SETUP_MODULE = new URL("../../scripts/setup.mjs", import.meta.url).href;

let root: string;

/** A package whose tools are programs that only note that they ran, and make what the real ones would. */
beforeEach(() => {
  root = makeFolder();
  writeFile("package.json", "{}");
  writeFile("package-lock.json", "{}");
  writeFile("src/main.ts", "");
  writeFile("requirements.txt", "numpy==1\n");
  writeFile("requirements-dev.txt", "-r requirements.txt\n");
  writeProgram(
    "bin/npm",
    "echo npm >> calls; mkdir -p node_modules/typescript/bin; touch node_modules/.package-lock.json; cp tsc.js node_modules/typescript/bin/tsc",
  );
  writeFile(
    "tsc.js",
    'const fs = require("fs"); fs.appendFileSync("calls", "tsc\\n"); fs.mkdirSync("dist"); fs.writeFileSync("dist/main.js", "");',
  );
  writeProgram("fake-pip", "echo pip >> calls");
  writeProgram(
    "bin/python3",
    'case "$1" in -c) echo 3.12.1 venv;; *) echo venv >> calls; mkdir -p .venv/bin; cp fake-pip .venv/bin/python;; esac',
  );
});

function writeFile(name: string, content: string, mode = 0o644): void {
  mkdirSync(join(root, name, ".."), { recursive: true });
  writeFileSync(join(root, name), content, { mode });
}

function writeProgram(name: string, script: string): void {
  writeFile(name, `#!/bin/sh\n${script}\n`, 0o755);
}

function startSetUp(forTests: boolean): ChildProcess {
  const code = `import { setUp } from ${JSON.stringify(SETUP_MODULE)};
    await setUp({ forTests: ${String(forTests)}, root: ${JSON.stringify(root)} }).catch((error) => { console.error(error.message); process.exitCode = 1; });`;
  return spawn(process.execPath, ["--input-type=module", "--eval", code], {
    cwd: root,
    env: {
      PATH: [join(root, "bin"), process.env["PATH"]].join(delimiter),
      DALLE_PYTHON: join(root, "bin", "python3"),
      DALLE_SETUP_JAX: "cpu",
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
}

async function setUp({ forTests = false } = {}): Promise<{ code: number | null; output: string }> {
  const child = startSetUp(forTests);
  let output = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (output += text));
  await once(child, "close");
  return { code: child.exitCode, output };
}

/** The tools that ran since the last look. */
function takeCalls(): string[] {
  const file = join(root, "calls");
  const calls = existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  rmSync(file, { force: true });
  return calls;
}

const EVERYTHING = ["npm", "tsc", "venv", "pip"];

describe("the set-up", () => {
  test("runs every step once, then none", async () => {
    const first = await setUp();
    expect(first).toMatchObject({ code: 0 });
    expect(first.output).toMatch(/Node packages \(npm ci\): done in \d/);
    expect(takeCalls()).toEqual(EVERYTHING);

    expect(await setUp()).toEqual({ code: 0, output: "" });
    expect(takeCalls()).toEqual([]);
  });

  test("for the tests is one for serving too", async () => {
    await setUp({ forTests: true });
    expect(takeCalls()).toEqual(EVERYTHING);

    expect(await setUp()).toEqual({ code: 0, output: "" });
    expect(takeCalls()).toEqual([]);
  });

  test("for serving leaves the packages of the tests to be installed", async () => {
    await setUp();
    takeCalls();

    await setUp({ forTests: true });
    expect(takeCalls()).toEqual(["pip"]);
  });

  test("for the tests is repeated after other packages were installed for serving", async () => {
    await setUp({ forTests: true });
    writeFile("requirements.txt", "numpy==2\n");
    await setUp();
    writeFile("requirements.txt", "numpy==1\n");
    takeCalls();

    await setUp({ forTests: true });
    expect(takeCalls()).toEqual(["pip"]);
  });

  test.each<[string, string, string | null, string[]]>([
    ["a changed source", "src/main.ts", "changed", ["tsc"]],
    ["a changed requirement", "requirements.txt", "numpy==2\n", ["pip"]],
    ["a changed lock file", "package-lock.json", "{ }", ["npm", "tsc"]],
    ["a removed environment", ".venv", null, ["venv", "pip"]],
    ["a removed build", "dist", null, ["tsc"]],
  ])("repeats after %s only what depends on it", async (_, name, content, expected) => {
    await setUp();
    takeCalls();
    if (content === null) rmSync(join(root, name), { recursive: true });
    else writeFile(name, content);
    await setUp();
    expect(takeCalls()).toEqual(expected);
  });

  test("shows the output of a step that fails, and tries it again the next time", async () => {
    writeProgram("fake-pip", "echo no such package; exit 1");
    const failed = await setUp();
    expect(failed.code).toBe(1);
    expect(failed.output).toMatch(/Python packages .* failed with exit code 1\.\nno such package/);

    rmSync(join(root, ".venv"), { recursive: true });
    writeProgram("fake-pip", "echo pip >> calls");
    takeCalls();
    expect(await setUp()).toMatchObject({ code: 0 });
    expect(takeCalls()).toEqual(["venv", "pip"]);
  });

  test("that is interrupted leaves no stamp for the step and stops the tool", async () => {
    writeProgram("bin/npm", "echo $$ > draft; mv draft npm-pid; exec sleep 60");
    const child = startSetUp(false);
    const closed = once(child, "close");
    await expect.poll(() => existsSync(join(root, "npm-pid")), PATIENCE).toBe(true);
    child.kill("SIGTERM");
    await closed;

    expect(child.signalCode).toBe("SIGTERM");
    expect(existsSync(join(root, ".setup", "node-packages.stamp"))).toBe(false);
    const pid = Number(readFileSync(join(root, "npm-pid"), "utf8"));
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });

  test("run twice at the same time does each step once", async () => {
    const results = await Promise.all([setUp(), setUp()]);
    expect(results.map(({ code }) => code)).toEqual([0, 0]);
    expect(takeCalls()).toEqual(EVERYTHING);
  });
});

describe("the lock", () => {
  test("is taken over when its holder is gone", async () => {
    const child = spawn(process.execPath, ["--eval", ""]);
    await once(child, "close");
    writeFile("lock", String(child.pid));
    const release = await takeLock(join(root, "lock"), () => {
      throw new Error("waited for a process that is gone");
    });
    expect(readFileSync(join(root, "lock"), "utf8")).toBe(String(process.pid));
    release();
    expect(existsSync(join(root, "lock"))).toBe(false);
  });

  test("makes the second wait until the first gives it back", async () => {
    const file = join(root, "lock");
    const order: string[] = [];
    const release = await takeLock(file, () => undefined);
    let second: Promise<void> = Promise.resolve();
    const holder = await new Promise<number>((resolve) => {
      second = takeLock(file, resolve).then((releaseSecond) => {
        order.push("second");
        releaseSecond();
      });
    });
    expect(holder).toBe(process.pid);
    order.push("first gives back");
    release();
    await second;
    expect(order).toEqual(["first gives back", "second"]);
  });
});
