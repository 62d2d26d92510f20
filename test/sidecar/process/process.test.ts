import path from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, onTestFinished, test } from "vitest";
import { SidecarProcess } from "../../../src/sidecar/process/process.js";
import { FIXTURES, ROOT } from "../../harness/paths.mjs";
import { expectGone, isRunning, PATIENCE } from "../../support/processes.js";

/** Runs a program of a few words in Node. */
function start(program: string, command = process.execPath) {
  const lines: string[] = [];
  let exitCount = 0;
  const launch = { command, args: ["-e", program], cwd: ROOT, env: { SIDECAR_WORD: "hello" } };
  const child = new SidecarProcess(launch, {
    onLine: (line) => lines.push(line),
    onExit: () => (exitCount += 1),
  });
  onTestFinished(() => {
    child.killGroup();
  });
  return { child, lines, countExits: () => exitCount };
}

const FOREVER = "setInterval(() => {}, 1000);";

describe("a sidecar process", () => {
  test("reports its exit code once all it has written was read", async () => {
    const program = 'console.log("one"); console.error(process.env.SIDECAR_WORD); process.exit(3)';
    const { child, lines, countExits } = start(program);

    expect(await child.exited).toEqual({ kind: "exited", exitCode: 3 });

    expect([...lines].sort()).toEqual(["hello", "one"]);
    expect([...child.lastLines()].sort()).toEqual(["hello", "one"]);
    expect(countExits()).toBe(1);
  });

  test("reports that there is no such program", async () => {
    const { child } = start("", "/nowhere/python");

    expect(child.pid).toBeNull();
    expect(await child.exited).toMatchObject({ kind: "spawn_failed", isMissing: true });
  });

  test.each([
    ["SIGTERM when it obeys", "process.exit(0)", 60_000, { kind: "exited", exitCode: 0 }],
    ["SIGKILL when it does not", "{}", 20, { kind: "killed", signal: "SIGKILL" }],
  ])("ends by %s", async (_title, reaction, graceMs, exit) => {
    const program = `process.on("SIGTERM", () => ${reaction}); console.log("up"); ${FOREVER}`;
    const { child, lines } = start(program);
    await expect.poll(() => lines, PATIENCE).toContain("up");

    expect(await child.terminate(graceMs)).toEqual(exit);
  });

  test("takes its children with it, though they hold its output open", async () => {
    const program = `const child = require("node:child_process").spawn("sleep", ["600"], { stdio: "inherit" });
      console.log(child.pid); process.exitCode = 5; child.unref();`;
    const { child, lines } = start(program);

    expect(await child.exited).toEqual({ kind: "exited", exitCode: 5 });

    const grandchild = Number(lines[0]);
    expect(grandchild).toBeGreaterThan(0);
    await expectGone(grandchild);
  });

  test("keeps the last lines of a long log only", async () => {
    const { child } = start('for (let i = 1; i <= 1000; i += 1) console.log("line " + i)');

    await child.exited;

    expect(child.lastLines()).toHaveLength(200);
    expect(child.lastLines(2)).toEqual(["line 999", "line 1000"]);
  });

  test("keeps its standard input open for as long as we live", async () => {
    const program = `process.stdin.on("end", () => process.exit(9)).resume(); console.log("up"); ${FOREVER}`;
    const { child, lines } = start(program);
    await expect.poll(() => lines, PATIENCE).toContain("up");

    expect(isRunning(child.pid ?? 0)).toBe(true);
    expect(await child.terminate(60_000)).toEqual({ kind: "killed", signal: "SIGTERM" });
  });

  test("cannot be started on a worker thread", async () => {
    const worker = new Worker(path.join(FIXTURES, "spawn-in-worker.mjs"));
    onTestFinished(async () => {
      await worker.terminate();
    });

    const message = await new Promise((resolve) => worker.once("message", resolve));

    expect(message).toBe("a sidecar can only be started on the main thread");
  });
});
