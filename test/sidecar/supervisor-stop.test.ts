/** Stopping and restarting a sidecar on request: drains, ends, and leaves nothing behind. */
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { makeFolder } from "../support/folder.js";
import { expectGone } from "../support/processes.js";
import { createSetup, expectNothingLeft, startReady, startTask, waitForStatus } from "./support.js";

describe("stop", () => {
  test("lets a running task finish, then leaves nothing", async () => {
    const gate = path.join(makeFolder(), "gate");
    const setup = await startReady("normal", { args: ["--gate", gate] });
    const { supervisor, states } = setup;
    const { pid } = supervisor.status();
    const image = await startTask(supervisor);

    const stopped = supervisor.stop({ drainMs: 60_000 });
    expect(supervisor.status().state).toBe("draining");
    expect(supervisor.freeSeats()).toBe(0);
    writeFileSync(gate, "");

    await expect(image.done).resolves.toMatchObject({ width: 8 });
    await stopped;
    expect(states.slice(-2)).toEqual(["draining", "stopped"]);
    expect(supervisor.status().lastFailure).toBeNull();
    await expectNothingLeft(setup, pid);
  });

  test("ends a task that takes longer than the drain, and the sidecar with it", async () => {
    const gate = path.join(makeFolder(), "gate");
    const setup = await startReady("normal", {
      args: ["--deaf", "--gate", gate],
      limits: { killGraceMs: 50 },
    });
    const { supervisor } = setup;
    const { pid } = supervisor.status();
    const image = await startTask(supervisor);
    const rejected = expect(image.done).rejects.toMatchObject({ code: "shutting_down" });

    await supervisor.stop({ drainMs: 50 });

    await rejected;
    await expectNothingLeft(setup, pid);
  });

  test("while it is idle leaves nothing, and may be called twice", async () => {
    const setup = await startReady("normal");
    const { pid } = setup.supervisor.status();

    await Promise.all([
      setup.supervisor.stop({ drainMs: 60_000 }),
      setup.supervisor.stop({ drainMs: 60_000 }),
    ]);

    expect(setup.supervisor.status()).toMatchObject({ state: "stopped", pid: null });
    await expectNothingLeft(setup, pid);
  });

  test("while it loads leaves nothing", async () => {
    const setup = createSetup("hang at loading");
    setup.supervisor.start();
    const { pid } = await waitForStatus(setup.supervisor, ({ phase }) => phase !== null);

    await setup.supervisor.stop({ drainMs: 60_000 });

    await expectNothingLeft(setup, pid);
  });

  test("while it starts leaves nothing", async () => {
    const setup = createSetup("silence at before-hello", { limits: { killGraceMs: 50 } });
    setup.supervisor.start();
    const { pid } = await waitForStatus(setup.supervisor, (one) => one.pid !== null);

    await setup.supervisor.stop({ drainMs: 60_000 });

    await expectNothingLeft(setup, pid);
  });

  test("while it backs off does not wait for the next try", async () => {
    const setup = createSetup("exit-0 at before-hello", {
      limits: { backoffBaseMs: 600_000, backoffCapMs: 600_000 },
      random: () => 0.9,
    });
    setup.supervisor.start();
    await waitForStatus(setup.supervisor, ({ nextTryAt }) => nextTryAt !== null);

    await setup.supervisor.stop({ drainMs: 60_000 });

    expect(setup.supervisor.status()).toMatchObject({ state: "stopped", generation: 1 });
    await expectNothingLeft(setup, null);
  });

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
