import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { JobQueue } from "../../src/jobs/queue.js";
import { SidecarPool } from "../../src/sidecar/pool.js";
import type { SupervisionLimits } from "../../src/sidecar/limits.js";
import type { RunOptions } from "../../src/sidecar/task.js";
import { createSetup, createTask, makeFolder, never, PATIENCE, waitForStatus } from "./support.js";

const options: RunOptions = { signal: never() };
const SAMPLING = { condScale: null, temperature: null, topK: null, topP: null };

interface PoolOptions {
  readonly modes?: readonly string[];
  readonly args?: readonly string[];
  readonly limits?: Partial<SupervisionLimits>;
}

/** A pool of fake sidecars, started; it is waited for until all that can be are ready. */
async function startPool({ modes = ["normal", "normal"], args = [], limits = {} }: PoolOptions) {
  const setups = modes.map((mode) => createSetup(mode, { args, limits }));
  const members = setups.map(({ supervisor }) => supervisor);
  const pool = new SidecarPool(members);
  pool.start();
  await Promise.all(
    members.map((one) => waitForStatus(one, ({ state }) => /^(ready|failed)$/.test(state))),
  );
  return { pool, members };
}

function kill(pid: number | null): void {
  if (pid !== null) process.kill(pid, "SIGKILL");
}

describe("a pool of sidecars", () => {
  test("gives work to the one with most free credits", async () => {
    const gate = path.join(makeFolder(), "gate");
    const { pool } = await startPool({ args: ["--gate", gate] });
    expect(pool.freeCredits()).toBe(8);
    const images = Array.from({ length: 6 }, () => pool.run(createTask(), options));
    expect(pool.statuses().map(({ running }) => running)).toEqual([3, 3]);
    writeFileSync(gate, "");
    await Promise.all(images);
  });

  test("is ready, and works, as long as one of them is", async () => {
    const { pool, members } = await startPool({ modes: ["load-failed", "normal"] });
    expect(pool.status()).toMatchObject({ state: "ready" });
    expect(members.map((one) => one.status().state)).toEqual(["failed", "ready"]);
    await expect(pool.run(createTask(), options)).resolves.toMatchObject({ width: 8 });
  });

  test("one that dies leaves the others serving", async () => {
    const { pool } = await startPool({ limits: { backoffBaseMs: 60_000 } });
    kill(pool.statuses()[0]?.pid ?? null);
    await expect.poll(() => pool.freeCredits(), PATIENCE).toBe(4);
    expect(pool.status().state).toBe("ready");
    await expect(pool.run(createTask(), options)).resolves.toMatchObject({ width: 8 });
  });

  test("starts all of them anew without an unserved moment, and finishes what runs", async () => {
    const { pool } = await startPool({ args: ["--chunks", "3"] });
    const states = new Set<string>();
    pool.onStatus(({ state }) => states.add(state));
    const queue = new JobQueue({
      runner: pool,
      queueLimit: 99,
      deathLimit: 2,
      refusal: () => null,
    });
    const seeds = Array.from({ length: 40 }, (_, index) => index);
    const spec = { prompt: "a", seeds, sampling: SAMPLING, deadlineInMs: 60_000 };
    const { done } = queue.submit(spec, { onImage: () => undefined });

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
      const modes = Array.from({ length: count }, () => "poison");
      const { pool } = await startPool({ modes });
      const queue = new JobQueue({
        runner: pool,
        queueLimit: 99,
        deathLimit: 2,
        refusal: () => null,
      });
      const submit = (prompt: string) => {
        const spec = { prompt, seeds: [1], sampling: SAMPLING, deadlineInMs: 60_000 };
        return queue.submit(spec, { onImage: () => undefined }).done;
      };
      const prompts = Array.from({ length: 21 }, (_, index) => (index === 3 ? "poison" : "good"));

      const results = await Promise.allSettled(prompts.map(submit));

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
