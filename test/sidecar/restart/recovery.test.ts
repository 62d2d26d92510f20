import { describe, expect, test } from "vitest";
import {
  createSetup,
  expectNothingLeft,
  inFirstSpawn,
  runTask,
  startGated,
  startReady,
  startTask,
  waitForReady,
  waitForStatus,
} from "../support.js";

describe("a sidecar that fails again and again", () => {
  test("is left alone for a while, then tried once, until someone asks for it", async () => {
    const { supervisor, lines } = createSetup("exit-0 at before-hello", {
      limits: { breakerFailureLimit: 2, breakerPauseMs: 3_600_000 },
    });
    supervisor.start();

    const open = await waitForStatus(supervisor, ({ nextTryAt, generation }) => {
      return nextTryAt !== null && generation === 2;
    });

    expect(open).toMatchObject({
      state: "backing_off",
      breaker: { state: "open", recentFailures: 2, failedTrials: 0 },
    });
    expect((open.nextTryAt ?? 0) - Date.now()).toBeGreaterThan(3_000_000);
    expect(lines.some((line) => line.includes("The sidecar failed 2 times"))).toBe(true);
    await supervisor.restart({ drainMs: 0 });
    const again = await waitForStatus(supervisor, ({ nextTryAt, generation }) => {
      return nextTryAt !== null && generation === 3;
    });
    expect(again.breaker).toMatchObject({ state: "open", failedTrials: 1 });
  });

  test("is served by again after a trial that makes an image", async () => {
    const { supervisor, lines } = createSetup("exit-0 at before-hello", {
      args: inFirstSpawn(),
      limits: { breakerFailureLimit: 1, breakerPauseMs: 10 },
    });
    supervisor.start();
    const trial = await waitForReady(supervisor, 2);
    expect(trial.breaker.state).toBe("half_open");

    await runTask(supervisor);

    expect(supervisor.status().breaker).toEqual({
      state: "closed",
      recentFailures: 0,
      failedTrials: 0,
    });
    expect(lines.some((line) => line.includes("The trial works"))).toBe(true);
  });

  test("is served by again after a trial that stays ready without work", async () => {
    const { supervisor } = createSetup("exit-0 at before-hello", {
      args: inFirstSpawn(),
      limits: { breakerFailureLimit: 1, breakerPauseMs: 10, stableMs: 20 },
    });
    supervisor.start();

    await waitForReady(supervisor, 2);

    await expect.poll(() => supervisor.status().breaker.state).toBe("closed");
  });
});

describe("a restart that is asked for", () => {
  test("finishes what runs, is no failure, and brings the next generation", async () => {
    const { supervisor, states } = await startReady("normal");
    const image = runTask(supervisor);

    await supervisor.restart({ drainMs: 20_000 });

    await expect(image).resolves.toMatchObject({ width: 8 });
    const status = await waitForReady(supervisor, 2);
    expect(status).toMatchObject({ lastFailure: null, breaker: { recentFailures: 0 } });
    expect(states.slice(2, 5)).toEqual(["ready", "draining", "starting"]);
  });

  test("gives back what is not finished in time", async () => {
    const { supervisor } = await startGated();
    const { done } = await startTask(supervisor);

    await Promise.all([
      supervisor.restart({ drainMs: 10 }),
      expect(done).rejects.toMatchObject({ code: "task_returned" }),
    ]);

    await waitForReady(supervisor, 2);
  });

  test("tries again what had failed for good", async () => {
    const setup = createSetup("checkpoint-missing at loading", { args: inFirstSpawn() });
    const { supervisor } = setup;
    supervisor.start();
    await waitForStatus(supervisor, ({ state }) => state === "failed");

    await supervisor.restart({ drainMs: 0 });

    const { pid } = await waitForReady(supervisor, 2);
    await supervisor.stop({ drainMs: 0 });
    await expectNothingLeft(setup, pid);
  });
});
