import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { RunOptions } from "../../src/sidecar/task.js";
import { MAGIC } from "../../src/wire/frames.js";
import {
  createSetup,
  createTask,
  expectGone,
  expectNothingLeft,
  makeFolder,
  never,
  PATIENCE,
  startReady,
  startTask,
  waitForStatus,
} from "./support.js";

const options: RunOptions = { signal: never() };

describe("a sidecar that ends in the middle of a task", () => {
  /** Each does its harm to the first spawn only. */
  test.each([
    ["crash-on-task", "killed", {}],
    ["fatal-on-task", "out_of_memory", {}],
    ["garbage", "protocol_error", {}],
    ["malformed", "protocol_error", {}],
    ["bad-payload", "protocol_error", {}],
    ["never-accept", "accept_timeout", { acceptLimitMs: 1_500 }],
    ["hang-on-task", "hung", { phaseBudgetMs: { generate: 1_500 } }],
    ["freeze-on-task", "silent", { beatIntervalMs: 100, missedBeatLimit: 15 }],
  ])("%s: the task is lost, the next spawn makes it", async (mode, code, limits) => {
    const { supervisor } = await startReady(mode, {
      args: ["--once", path.join(makeFolder(), "once")],
      limits,
    });
    const { pid } = supervisor.status();
    const task = createTask();

    await expect(supervisor.run(task, options)).rejects.toMatchObject({ code: "sidecar_lost" });

    const status = await waitForStatus(
      supervisor,
      (one) => one.generation === 2 && one.state === "ready",
    );
    expect(status).toMatchObject({ restarts: 1, lastFailure: { code } });
    const image = await supervisor.run({ ...task, attempt: 2 }, options);
    expect([...image.rgb.slice(0, 3)]).toEqual([0x0a, 0x0b, 0x0c]);
    await expectGone(pid);
  });

  test("by kill -9 from outside loses every task at once", async () => {
    const gate = path.join(makeFolder(), "gate");
    const { supervisor, states } = await startReady("normal", { args: ["--gate", gate] });
    const { pid } = supervisor.status();
    const tasks = await Promise.all([1, 2, 3].map(() => startTask(supervisor)));
    const images = tasks.map(({ done }) => done);

    process.kill(pid ?? 0, "SIGKILL");

    const results = await Promise.allSettled(images);
    for (const result of results) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "sidecar_lost" } });
    }
    await waitForStatus(supervisor, (one) => one.generation === 2 && one.state === "ready");
    writeFileSync(gate, "");
    await expect(supervisor.run(createTask(), options)).resolves.toMatchObject({ width: 8 });
    expect(states).toEqual([
      "starting",
      "loading",
      "ready",
      "backing_off",
      "starting",
      "loading",
      "ready",
    ]);
  });

  test("is not called ready from its exit on, while its last words are still waited for", async () => {
    const gate = path.join(makeFolder(), "gate");
    const { supervisor } = await startReady("normal", { args: ["--gate", gate] });
    const { pid } = supervisor.status();
    const image = await startTask(supervisor);
    const rejected = expect(image.done).rejects.toMatchObject({ code: "sidecar_lost" });

    process.kill(pid ?? 0, "SIGKILL");

    const first = await waitForStatus(supervisor, ({ state }) => state !== "ready");
    expect(first).toMatchObject({ state: "backing_off", running: 1, lastFailure: null });
    await rejected;
    const { lastFailure } = await waitForStatus(supervisor, (one) => one.lastFailure !== null);
    expect(lastFailure?.code).toBe("killed");
    expect(lastFailure?.reason).toContain("while it was ready");
    expect(lastFailure?.at).toBeLessThanOrEqual(first.since);
  });

  test("because someone else told it to drain finishes its task and is started again", async () => {
    const gate = path.join(makeFolder(), "gate");
    const { supervisor } = await startReady("normal", { args: ["--gate", gate] });
    const image = await startTask(supervisor);
    process.kill(supervisor.status().pid ?? 0, "SIGTERM");

    writeFileSync(gate, "");

    await expect(image.done).resolves.toMatchObject({ width: 8 });
    const status = await waitForStatus(
      supervisor,
      (one) => one.generation === 2 && one.state === "ready",
    );
    expect(status.lastFailure).toMatchObject({ code: "exited" });
  });
});

describe("the delay before a restart", () => {
  const backoff = { backoffBaseMs: 1, backoffCapMs: 1_000_000 };

  test.each([
    ["grows while the sidecar is not proven", 3_600_000, [1, 2, 4]],
    ["starts anew after a sidecar that held and made an image", 0, [1, 1, 1]],
  ])("%s", async (_title, stableMs, delays) => {
    const { supervisor, lines } = await startReady("normal", {
      limits: { ...backoff, stableMs },
      random: () => 0.999,
    });
    for (const index of delays.keys()) {
      const { pid } = await waitForStatus(supervisor, ({ state }) => state === "ready");
      await supervisor.run(createTask(), options);
      process.kill(pid ?? 0, "SIGKILL");
      await waitForStatus(supervisor, ({ generation }) => generation === index + 2);
    }

    const drawn = lines.map((line) => /"delayMs":(\d+)/.exec(line)?.[1]).filter(Boolean);
    expect(drawn.map(Number)).toEqual(delays);
  });
});

describe("a sidecar that does not start", () => {
  test.each([
    ["crash-before-hello", "exited", "about to end"],
    ["exit-0", "exited", "about to end"],
    ["load-crash", "exited", "cannot load: the disk is on fire"],
    ["wrong-token", "handshake_refused", "did not know the token"],
    ["wrong-generation", "handshake_refused", "of generation"],
    ["no-hello-first", "protocol_error", "HELLO first"],
  ])("%s fails with %s and the last log lines, and is tried again", async (mode, code, words) => {
    const { supervisor, states } = createSetup(mode, {
      args: ["--once", path.join(makeFolder(), "once")],
      limits: { killGraceMs: 50 },
    });
    supervisor.start();

    const failed = await waitForStatus(supervisor, ({ nextTryAt }) => nextTryAt !== null);

    expect(failed).toMatchObject({ state: "backing_off", pid: null, lastFailure: { code } });
    expect(failed.lastFailure?.reason).toContain(words);
    await waitForStatus(supervisor, ({ state }) => state === "ready");
    expect(states).not.toContain("failed");
  });

  test.each([
    ["never-hello", "hello_timeout", "within 100 ms (helloLimitMs)", { helloLimitMs: 100 }],
    ["load-hang", "start_timeout", "within 100 ms (startLimitMs)", { startLimitMs: 100 }],
    ["load-hang", "hung", "in _load", { phaseBudgetMs: { load: 100 } }],
    ["load-freeze", "silent", "no sign of life for 3 beats", { startMissedBeatLimit: 3 }],
  ])("%s fails with %s, and the reason names the limit", async (mode, code, words, limits) => {
    const { supervisor } = createSetup(mode, { limits: { killGraceMs: 50, ...limits } });
    supervisor.start();

    const failed = await waitForStatus(supervisor, ({ nextTryAt }) => nextTryAt !== null);

    expect(failed).toMatchObject({ state: "backing_off", pid: null, lastFailure: { code } });
    expect(failed.lastFailure?.reason).toContain(words);
  });

  test.each([
    ["load-failed", "checkpoint_not_found", "no config.json in the folder; pass --checkpoint"],
    ["wrong-version", "version_mismatch", `expected ${MAGIC}, got DALLE/999`],
  ])("%s is permanent: there is no second try", async (mode, code, words) => {
    const setup = createSetup(mode, { limits: { killGraceMs: 50 } });
    setup.supervisor.start();

    const status = await waitForStatus(setup.supervisor, ({ state }) => state === "failed");

    expect(status).toMatchObject({
      generation: 1,
      pid: null,
      nextTryAt: null,
      lastFailure: { code },
    });
    expect(status.lastFailure?.reason).toContain(words);
    await setup.supervisor.stop({ drainMs: 0 });
    expect(setup.supervisor.status()).toMatchObject({ state: "stopped", generation: 1 });
    await expectNothingLeft(setup, null);
  });

  test("a Python that is not there is permanent", async () => {
    const setup = createSetup("normal", { command: "/nowhere/python" });
    setup.supervisor.start();

    const status = await waitForStatus(setup.supervisor, ({ state }) => state === "failed");

    expect(status.lastFailure).toMatchObject({ code: "spawn_failed" });
    expect(status.lastFailure?.reason).toContain("ENOENT");
  });

  test("a folder whose path is too long for a socket is permanent", async () => {
    const parent = path.join(makeFolder(), "x".repeat(100));
    mkdirSync(parent);
    const { supervisor } = createSetup("normal", { runFolderParent: parent });
    supervisor.start();

    const status = await waitForStatus(supervisor, ({ state }) => state === "failed");

    expect(status.lastFailure?.reason).toContain("set TMPDIR to a shorter folder");
    await expect.poll(() => readdirSync(parent), PATIENCE).toEqual([]);
  });

  test("is told apart from one that waits: nextTryAt is in the future while it backs off", async () => {
    const { supervisor } = createSetup("exit-0", {
      limits: { backoffBaseMs: 60_000, backoffCapMs: 60_000 },
      random: () => 0.5,
    });
    supervisor.start();

    const { nextTryAt } = await waitForStatus(supervisor, (one) => one.nextTryAt !== null);

    expect((nextTryAt ?? 0) - Date.now()).toBeGreaterThan(20_000);
    expect(supervisor.freeCredits()).toBe(0);
  });
});
