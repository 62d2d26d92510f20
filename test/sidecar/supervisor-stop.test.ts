/** Stopping and restarting a sidecar on request: drains, ends, and leaves nothing behind. */
import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { SidecarStatus } from "../../src/sidecar/status.js";
import { expectGone } from "../support/processes.js";
import {
  createSetup,
  expectNothingLeft,
  startGated,
  startReady,
  startTask,
  waitForStatus,
} from "./support.js";

describe("stop", () => {
  test("lets a running task finish, then leaves nothing", async () => {
    const { openGate, ...setup } = await startGated();
    const { supervisor, states } = setup;
    const { pid } = supervisor.status();
    const image = await startTask(supervisor);

    const stopped = supervisor.stop({ drainMs: 60_000 });
    expect(supervisor.status().state).toBe("draining");
    expect(supervisor.freeSeats()).toBe(0);
    openGate();

    await expect(image.done).resolves.toMatchObject({ width: 8 });
    await stopped;
    expect(states.slice(-2)).toEqual(["draining", "stopped"]);
    expect(supervisor.status().lastFailure).toBeNull();
    await expectNothingLeft(setup, pid);
  });

  test("ends a task that takes longer than the drain, and the sidecar with it", async () => {
    const setup = await startGated({ args: ["--deaf"], limits: { killGraceMs: 50 } });
    const { supervisor } = setup;
    const { pid } = supervisor.status();
    const image = await startTask(supervisor);
    const rejected = expect(image.done).rejects.toMatchObject({ code: "shutting_down" });

    await supervisor.stop({ drainMs: 50 });

    await rejected;
    await expectNothingLeft(setup, pid);
  });

  test.each([
    ["is idle", "normal", ({ state }: SidecarStatus) => state === "ready"],
    ["loads", "hang at loading", ({ phase }: SidecarStatus) => phase !== null],
    ["starts", "silence at before-hello", ({ pid }: SidecarStatus) => pid !== null],
    ["backs off", "exit-0 at before-hello", (now: SidecarStatus) => now.nextTryAt !== null],
  ] as const)(
    "while it %s leaves nothing, and may be called twice",
    async (_, fault, isReached) => {
      const setup = createSetup(fault, {
        limits: { killGraceMs: 50, backoffBaseMs: 600_000, backoffCapMs: 600_000 },
        random: () => 0.9,
      });
      const { supervisor } = setup;
      supervisor.start();
      const { pid } = await waitForStatus(supervisor, isReached);

      await Promise.all([
        supervisor.stop({ drainMs: 60_000 }),
        supervisor.stop({ drainMs: 60_000 }),
      ]);

      expect(supervisor.status()).toMatchObject({ state: "stopped", pid: null, generation: 1 });
      await expectNothingLeft(setup, pid);
    },
  );

  test("before the start has nothing to do", async () => {
    const setup = createSetup("normal");

    await setup.supervisor.stop({ drainMs: 0 });

    expect(setup.supervisor.status()).toMatchObject({ state: "stopped", generation: 0 });
  });

  test("ends what the sidecar has started itself", async () => {
    const setup = await startReady("grandchild at before-hello");
    const line = setup.lines.find((one) => one.includes("grandchild"));
    const grandchild = Number(/grandchild (\d+)/.exec(line ?? "")?.[1]);

    await setup.supervisor.stop({ drainMs: 60_000 });

    await expectGone(grandchild);
  });

  test("by kill leaves nothing, even for the one who cannot wait", async () => {
    const setup = await startReady("normal", { args: ["--deaf"] });
    const { pid } = setup.supervisor.status();

    setup.supervisor.kill();

    expect(existsSync(setup.folder) && readdirSync(setup.folder)).toEqual([]);
    expect(setup.supervisor.status().state).toBe("stopped");
    await expectGone(pid);
  });
});
