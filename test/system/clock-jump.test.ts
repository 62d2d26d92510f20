/** A machine whose clock is set while the server runs. */
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { z } from "zod";
import { Quarantine } from "../../src/jobs/quarantine.js";
import { Admission } from "../../src/jobs/admission.js";
import { Breaker } from "../../src/sidecar/restart/breaker.js";
import { DEFAULT_SERVICE } from "../support/defaults.js";
import { FakeRunner } from "../support/fake-runner.js";
import { createTestQueue } from "../support/test-queue.js";
import { startTestServer } from "../support/test-server.js";
import { createSetup, runTask, startReady, waitForStatus } from "../sidecar/support.js";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const healthSchema = z.object({ uptimeSeconds: z.number() });

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe.each([
  { way: "forward", byMs: DAY_MS },
  { way: "back", byMs: -DAY_MS },
])("the clock of the machine goes $way by a day", ({ byMs }) => {
  const jump = () => vi.setSystemTime(Date.now() + byMs);

  test("and a restart comes when it was due, which is also what Retry-After says", async () => {
    const { supervisor } = createSetup("exit-0 at before-hello", {
      limits: { backoffBaseMs: 4_000 },
      random: () => 0.5,
    });
    const admission = new Admission(supervisor, DEFAULT_SERVICE.patienceMs);
    supervisor.start();
    await waitForStatus(supervisor, ({ nextTryAt }) => nextTryAt !== null);

    jump();

    const leftMs = (supervisor.status().nextTryAt ?? 0) - Date.now();
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(2_000);
    expect(admission.readyRefusal()?.retryAfterS).toBeLessThanOrEqual(4);
    await waitForStatus(supervisor, ({ generation }) => generation === 2);
  });

  test("and a sidecar that works is not taken for silent or hung", async () => {
    const { supervisor } = await startReady("normal");
    jump();
    await runTask(supervisor);
    const { beatAgeMs, generation } = supervisor.status();
    expect(generation).toBe(1);
    expect(beatAgeMs).toBeLessThan(60_000);
  });

  test("and a request keeps its deadline", async () => {
    const runner = new FakeRunner({ isHolding: true, seats: 1 });
    const { done } = createTestQueue(runner).submit("a", 2, { deadlineInMs: 30_000 });

    jump();
    runner.finishNext();
    await runner.untilStarted(2);

    const leftMs = runner.started[1]?.deadlineInMs;
    expect(leftMs).toBeLessThanOrEqual(30_000);
    expect(leftMs).toBeGreaterThan(10_000);
    runner.finishNext();
    await expect(done).resolves.toBeUndefined();
  });

  test("and the breaker counts the failures of its window", () => {
    const breaker = new Breaker({ breakerFailureLimit: 2, breakerWindowMs: HOUR_MS });
    breaker.noteFailure();
    jump();
    breaker.noteFailure();
    expect(breaker.status()).toMatchObject({ state: "open", recentFailures: 2 });
  });

  test("and a prompt is refused for as long as was said", () => {
    const quarantine = new Quarantine(HOUR_MS);
    quarantine.add("a");
    jump();
    expect(quarantine.refusal("a")?.message).toMatch(/another 3(600|5\d\d) s/);
  });

  test("and the server has not been up for longer or shorter", async () => {
    const server = await startTestServer();
    onTestFinished(() => server.close());
    const readUptime = async () => {
      const response = await fetch(`${server.url}/health_check`);
      return healthSchema.parse(await response.json()).uptimeSeconds;
    };
    const before = await readUptime();
    jump();
    expect(Math.abs((await readUptime()) - before)).toBeLessThan(60);
  });
});
