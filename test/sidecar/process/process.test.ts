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

  test("reports the signal that ended it", async () => {
    const { child } = start('process.kill(process.pid, "SIGKILL")');

    expect(await child.exited).toEqual({ kind: "killed", signal: "SIGKILL" });
  });

  test("reports that there is no such program", async () => {
    const { child } = start("", "/nowhere/python");

    expect(child.pid).toBeNull();
    expect(await child.exited).toMatchObject({ kind: "spawn_failed", isMissing: true });
  });

  test("ends on SIGTERM when it obeys", async () => {
    const program = `process.on("SIGTERM", () => process.exit(0)); console.log("up"); ${FOREVER}`;
    const { child, lines } = start(program);
    await expect.poll(() => lines, PATIENCE).toContain("up");

    expect(await child.terminate(60_000)).toEqual({ kind: "exited", exitCode: 0 });
  });

  test("ends by SIGKILL when it does not", async () => {
    const { child, lines } = start(
      `process.on("SIGTERM", () => {}); console.log("up"); ${FOREVER}`,
    );
    await expect.poll(() => lines, PATIENCE).toContain("up");

    expect(await child.terminate(20)).toEqual({ kind: "killed", signal: "SIGKILL" });
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
