/** How each kind of failure of a sidecar is noticed, named and recovered from. */
import { mkdirSync, readdirSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { MAGIC } from "../../src/wire/frames.js";
import { makeFolder } from "../support/folder.js";
import { expectGone, PATIENCE } from "../support/processes.js";
import {
  createSetup,
  createTask,
  expectNothingLeft,
  inFirstSpawn,
  runTask,
  startGated,
  startReady,
  startTask,
  waitForReady,
  waitForStatus,
} from "./support.js";

describe("a sidecar that ends in the middle of a task", () => {
  test.each([
    ["device-error at generating", "device_error", {}],
    ["garbage at generating", "protocol_error", {}],
    ["malformed at generating", "protocol_error", {}],
    ["bad-payload at generating", "protocol_error", {}],
    ["never-accept at after-hello", "accept_timeout", { acceptLimitMs: 1_500 }],
    ["hang at generating", "hung", { phaseBudgetMs: { generate: 1_500 } }],
    ["sigstop at generating", "silent", { beatIntervalMs: 100, missedBeatLimit: 15 }],
  ] as const)("%s: the task is lost, the next spawn makes it", async (fault, code, limits) => {
    const { supervisor } = await startReady(fault, { args: inFirstSpawn(), limits });
    const { pid } = supervisor.status();
    const task = createTask();

    await expect(runTask(supervisor, task)).rejects.toMatchObject({ code: "sidecar_lost" });

    const status = await waitForReady(supervisor, 2);
    expect(status).toMatchObject({ restarts: 1, lastFailure: { code } });
    const image = await runTask(supervisor, { ...task, attempt: 2 });
    expect([...image.rgb.slice(0, 3)]).toEqual([0x0a, 0x0b, 0x0c]);
    await expectGone(pid);
  });

  test("by kill -9 is not ready from its exit on, while its last words are still waited for", async () => {
    const { supervisor, states } = await startGated();
    const { pid } = supervisor.status();
    const tasks = await Promise.all([1, 2, 3].map(() => startTask(supervisor)));
    const results = Promise.allSettled(tasks.map(({ done }) => done));

    process.kill(pid ?? 0, "SIGKILL");

    const first = await waitForStatus(supervisor, ({ state }) => state !== "ready");
    expect(first).toMatchObject({ state: "backing_off", running: 3, lastFailure: null });
    const lost = { status: "rejected", reason: { code: "sidecar_lost" } };
    expect(await results).toMatchObject([lost, lost, lost]);
    const { lastFailure } = await waitForReady(supervisor, 2);
    expect(lastFailure?.code).toBe("killed");
    expect(lastFailure?.reason).toContain("while it was ready");
    expect(lastFailure?.at).toBeLessThanOrEqual(first.since);
    const start = ["starting", "loading", "ready"];
    expect(states).toEqual([...start, "backing_off", ...start]);
  });

  test("because of a SIGTERM from elsewhere finishes its task and is started again", async () => {
    const { supervisor, openGate } = await startGated();
    const image = await startTask(supervisor);
    process.kill(supervisor.status().pid ?? 0, "SIGTERM");

    openGate();

    await expect(image.done).resolves.toMatchObject({ width: 8 });
    const status = await waitForReady(supervisor, 2);
    expect(status.lastFailure).toMatchObject({ code: "exited" });
  });
});

describe("the delay before a restart", () => {
  test.each([
    ["grows while the sidecar is not proven", 3_600_000, [1, 2, 4]],
    ["starts again at its base after a sidecar that held and made an image", 0, [1, 1, 1]],
  ])("%s", async (_title, stableMs, delays) => {
    const { supervisor, lines } = await startReady("normal", {
      limits: { backoffBaseMs: 1, backoffCapMs: 1_000_000, stableMs },
      random: () => 0.999,
    });
    for (const index of delays.keys()) {
      const { pid } = await waitForReady(supervisor, index + 1);
      await runTask(supervisor);
      process.kill(pid ?? 0, "SIGKILL");
      await waitForStatus(supervisor, ({ generation }) => generation === index + 2);
    }

    const drawn = lines.map((line) => /"delayMs":(\d+)/.exec(line)?.[1]).filter(Boolean);
    expect(drawn.map(Number)).toEqual(delays);
  });
});

describe("a sidecar that does not start", () => {
  test.each([
    ["exit-1 at before-hello", "exited", "about to end with code 1", {}],
    ["exit-0 at before-hello", "exited", "about to end with code 0", {}],
    ["exit-1 at loading", "exited", "about to end with code 1", {}],
    ["wrong-token at before-hello", "handshake_refused", "did not know the token", {}],
    ["wrong-generation at before-hello", "handshake_refused", "of generation", {}],
    ["unknown-task at before-hello", "protocol_error", "HELLO first", {}],
    ["silence at before-hello", "hello_timeout", "100 ms (helloLimitMs)", { helloLimitMs: 100 }],
    ["hang at loading", "start_timeout", "100 ms (startLimitMs)", { startLimitMs: 100 }],
    ["hang at loading", "hung", "in _load", { phaseBudgetMs: { load: 100 } }],
    ["sigstop at loading", "silent", "for 3 beats", { startMissedBeatLimit: 3 }],
  ] as const)(
    "%s fails with %s and a reason that says why, and is tried again",
    async (fault, code, words, limits) => {
      const { supervisor } = createSetup(fault, { limits: { killGraceMs: 50, ...limits } });
      supervisor.start();

      const failed = await waitForStatus(supervisor, ({ nextTryAt }) => nextTryAt !== null);

      expect(failed).toMatchObject({ state: "backing_off", pid: null, lastFailure: { code } });
      expect(failed.lastFailure?.reason).toContain(words);
      expect(supervisor.freeSeats()).toBe(0);
      await waitForStatus(supervisor, ({ generation }) => generation === 2);
    },
  );

  test.each([
    ["checkpoint-missing at loading", "checkpoint_not_found", "no config.json in the folder"],
    ["wrong-version at before-hello", "version_mismatch", `expected ${MAGIC}, got DALLE/999`],
  ] as const)("%s is permanent: there is no second try", async (fault, code, words) => {
    const setup = createSetup(fault, { limits: { killGraceMs: 50 } });
    setup.supervisor.start();

    const status = await waitForStatus(setup.supervisor, ({ state }) => state === "failed");

    expect(status).toMatchObject({ generation: 1, pid: null, nextTryAt: null });
    expect(status.lastFailure?.code).toBe(code);
    expect(status.lastFailure?.reason).toContain(words);
    await setup.supervisor.stop({ drainMs: 0 });
    expect(setup.supervisor.status()).toMatchObject({ state: "stopped", generation: 1 });
    await expectNothingLeft(setup, null);
  });

  test("a Python that is not there is permanent", async () => {
    const { supervisor } = createSetup("normal", { program: { command: "/nowhere/python" } });
    supervisor.start();

    const { lastFailure } = await waitForStatus(supervisor, ({ state }) => state === "failed");

    expect(lastFailure?.code).toBe("spawn_failed");
    expect(lastFailure?.reason).toContain("ENOENT");
  });

  test("a folder whose path is too long for a socket is permanent", async () => {
    const parent = path.join(makeFolder(), "x".repeat(100));
    mkdirSync(parent);
    const { supervisor } = createSetup("normal", { runFolderParent: parent });
    supervisor.start();

    const { lastFailure } = await waitForStatus(supervisor, ({ state }) => state === "failed");

    expect(lastFailure?.reason).toContain("set TMPDIR to a shorter folder");
    await expect.poll(() => readdirSync(parent), PATIENCE).toEqual([]);
  });
});
