import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { SidecarPool } from "../../src/sidecar/pool.js";
import { createTestQueue } from "../support/test-queue.js";
import { makeFolder } from "../support/folder.js";
import { PATIENCE } from "../support/processes.js";
import {
  createSetup,
  runTask,
  waitForStatus,
  type Behaviour,
  type SetupOptions,
} from "./support.js";

/** A pool of fake sidecars, started; it is waited for until all that can be are ready. */
async function startPool(behaviours: readonly Behaviour[], options: SetupOptions = {}) {
  const members = behaviours.map((behaviour) => createSetup(behaviour, options).supervisor);
  const pool = new SidecarPool(members);
  pool.start();
  await Promise.all(
    members.map((one) => waitForStatus(one, ({ state }) => /^(ready|failed)$/.test(state))),
  );
  return { pool, members };
}

const TWO = ["normal", "normal"] as const;

describe("a pool of sidecars", () => {
  test("gives work to the one with most free seats", async () => {
    const gate = path.join(makeFolder(), "gate");
    const { pool, members } = await startPool(TWO, { args: ["--gate", gate] });
    expect(members.map((one) => one.freeSeats())).toEqual([4, 4]);
    const images = Array.from({ length: 6 }, () => runTask(pool));
    expect(pool.statuses().map(({ running }) => running)).toEqual([3, 3]);
    writeFileSync(gate, "");
    await Promise.all(images);
  });

  test("is ready, and works, as long as one of them is", async () => {
    const { pool, members } = await startPool(["checkpoint-missing at loading", "normal"]);
    expect(pool.status()).toMatchObject({ state: "ready" });
    expect(members.map((one) => one.status().state)).toEqual(["failed", "ready"]);
    await expect(runTask(pool)).resolves.toMatchObject({ width: 8 });
  });

  test("one that dies leaves the others serving", async () => {
    const { pool, members } = await startPool(TWO, { limits: { backoffBaseMs: 60_000 } });
    process.kill(pool.statuses()[0]?.pid ?? Number.NaN, "SIGKILL");
    await expect.poll(() => members[0]?.freeSeats(), PATIENCE).toBe(0);
    expect(pool.status().state).toBe("ready");
    await expect(runTask(pool)).resolves.toMatchObject({ width: 8 });
  });

  test("restarts all of them without an unserved moment, and finishes what runs", async () => {
    const { pool } = await startPool(TWO, { args: ["--chunks", "3"] });
    const states = new Set<string>();
    pool.onStatus(() => states.add(pool.status().state));
    const { done } = createTestQueue(pool).submit("a", 40);

    await Promise.all([pool.restart({ drainMs: 10_000 }), pool.restart({ drainMs: 10_000 })]);

    await done;
    expect(pool.statuses()).toMatchObject([
      { generation: 2, state: "ready", lastFailure: null },
      { generation: 2, state: "ready", lastFailure: null },
    ]);
    expect([...states]).toEqual(["ready"]);
  });

  test.each([1, 2])(
    "of %i: a poisonous request beside twenty good ones costs two deaths and one error",
    async (count) => {
      const behaviours = Array.from({ length: count }, () => "sigkill at poison" as const);
      const { pool } = await startPool(behaviours);
      const { submit } = createTestQueue(pool);
      const prompts = Array.from({ length: 21 }, (_, index) => (index === 3 ? "poison" : "good"));

      const results = await Promise.allSettled(prompts.map((prompt) => submit(prompt, 1).done));

      const failed = results.flatMap((result, index) =>
        result.status === "rejected" ? [{ index, error: result.reason as unknown }] : [],
      );
      expect(failed).toMatchObject([{ index: 3, error: { code: "sidecar_crashed" } }]);
      await expect
        .poll(() => pool.statuses().every(({ state }) => state === "ready"), PATIENCE)
        .toBe(true);
      const deaths = pool.statuses().reduce((sum, { restarts }) => sum + restarts, 0);
      expect(deaths).toBe(2);
    },
  );
});
