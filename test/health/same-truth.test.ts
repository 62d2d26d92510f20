/** `/health_check`, `/ready` and `/metrics` agree with each other in every state of the server. */
import { describe, expect, test } from "vitest";
import { z } from "zod";
import type { SidecarStatus } from "../../src/sidecar/status.js";
import { FakeSidecar } from "../support/fake-sidecar-view.js";
import { MetricsPage } from "../support/metrics-page.js";
import { startFake } from "../support/server.js";
import { startTestServer } from "../support/test-server.js";

const countsSchema = z.record(z.string(), z.int());
const sidecarSchema = z.object({
  index: z.int(),
  state: z.string(),
  since: z.iso.datetime(),
  generation: z.int(),
  restarts: z.int(),
  restartReasons: countsSchema,
  failures: countsSchema,
  breaker: z.object({ state: z.string(), recentFailures: z.int() }),
  nextTryAt: z.iso.datetime().nullable(),
  beatAgeMs: z.number().nullable(),
  stepAgeMs: z.number().nullable(),
  running: z.int(),
  rssBytes: z.number().nullable(),
  droppedFrames: z.int(),
  refusedConnections: z.int(),
});
const healthSchema = z.object({
  success: z.literal(true),
  state: z.string(),
  ready: z.boolean(),
  sidecars: z.array(sidecarSchema),
  queue: z.object({ waitingImages: z.int(), runningImages: z.int(), finishedImages: z.int() }),
});
type Health = z.output<typeof healthSchema>;

interface Truth {
  readonly health: Health;
  readonly isReady: boolean;
  readonly page: MetricsPage;
}

async function askAll(url: string): Promise<Truth> {
  const answer = await fetch(`${url}/health_check`);
  const health = healthSchema.parse(await answer.json());
  const { status, headers } = await fetch(`${url}/ready`);
  // The server lives whatever state it is in, and says when it may be ready.
  expect(answer.status).toBe(200);
  expect(headers.has("retry-after")).toBe(status !== 200 && health.state !== "stopping");
  return { health, isReady: status === 200, page: await MetricsPage.fetch(url) };
}

const toSeconds = (time: string | null) => (time === null ? undefined : Date.parse(time) / 1000);

/** The three answers agree in everything that does not change from one question to the next. */
function expectSameTruth({ health, isReady, page }: Truth): void {
  expect(health.ready).toBe(isReady);
  expect(page.get("dalle_ready")).toBe(Number(isReady));
  expect(page.get("dalle_stopping")).toBe(Number(health.state === "stopping"));
  expect(page.get("dalle_queue_waiting_images")).toBe(health.queue.waitingImages);
  expect(page.get("dalle_queue_running_images")).toBe(health.queue.runningImages);
  expect(page.get("dalle_images_made_total")).toBe(health.queue.finishedImages);
  for (const sidecar of health.sidecars) expectSameSidecar(sidecar, page);
}

/** A time that is told from the clock that never goes back can differ by what rounding makes of two readings. */
function expectSameTime(shown: number | undefined, expected: number | undefined): void {
  if (expected === undefined) expect(shown).toBeUndefined();
  else expect(shown).toBeCloseTo(expected, 2);
}

function expectSameSidecar(sidecar: Health["sidecars"][number], page: MetricsPage): void {
  const own = `sidecar="${sidecar.index}"`;
  const get = (name: string) => page.get(`dalle_sidecar_${name}{${own}}`);
  const statesOf = (name: string) =>
    Object.entries(page.all(name)).flatMap(([labels, value]) =>
      labels.includes(own) && value === 1 ? [/state="(\w+)"/.exec(labels)?.[1]] : [],
    );
  const sumOf = (name: string) =>
    Object.entries(page.all(name))
      .filter(([labels]) => labels.includes(own))
      .reduce((sum, [, value]) => sum + value, 0);
  const sum = (counts: Readonly<Record<string, number>>) =>
    Object.values(counts).reduce((left, right) => left + right, 0);
  expect(statesOf("dalle_sidecar_state")).toEqual([sidecar.state]);
  expect(statesOf("dalle_sidecar_breaker_state")).toEqual([sidecar.breaker.state]);
  expect(get("state_since_timestamp_seconds")).toBe(toSeconds(sidecar.since));
  expect(get("generation")).toBe(sidecar.generation);
  expect(get("recent_failures")).toBe(sidecar.breaker.recentFailures);
  expectSameTime(get("next_try_timestamp_seconds"), toSeconds(sidecar.nextTryAt));
  expect(get("running_tasks")).toBe(sidecar.running);
  expect(get("dropped_frames_total")).toBe(sidecar.droppedFrames);
  expect(get("refused_connections_total")).toBe(sidecar.refusedConnections);
  expect(get("beat_age_seconds") === undefined).toBe(sidecar.beatAgeMs === null);
  expect(get("step_age_seconds") === undefined).toBe(sidecar.stepAgeMs === null);
  expect(sum(sidecar.restartReasons)).toBe(sidecar.restarts);
  expect(sumOf("dalle_sidecar_restarts_total")).toBe(sidecar.restarts);
  expect(sumOf("dalle_sidecar_failures_total")).toBe(sum(sidecar.failures));
  for (const [reason, count] of Object.entries(sidecar.failures)) {
    expect(page.get(`dalle_sidecar_failures_total{${own},reason="${reason}"}`)).toBe(count);
  }
}

describe("/health_check, /ready and /metrics tell the same", () => {
  const nextTryAt = Date.now() + 40_000;
  const open = { state: "open", recentFailures: 5, failedTrials: 1 } as const;
  const died = { restarts: 2, restartReasons: { killed: 1, asked: 1 }, failures: { killed: 1 } };
  const cases: readonly (readonly [string, Partial<SidecarStatus>])[] = [
    ["starting", { state: "starting", beatAgeMs: null, pid: 1 }],
    ["loading", { state: "loading", stepAgeMs: 120 }],
    ["ready", { state: "ready", rssBytes: 1e9, droppedFrames: 3 }],
    ["generating", { state: "ready", running: 2, stepAgeMs: 15 }],
    ["ready again", { state: "ready", generation: 3, ...died }],
    ["backing off", { state: "backing_off", nextTryAt, beatAgeMs: null, ...died }],
    ["breaker open", { state: "backing_off", nextTryAt, breaker: open, ...died }],
    ["trial", { state: "loading", breaker: { ...open, state: "half_open" }, ...died }],
    ["draining", { state: "draining", running: 1 }],
    ["failed", { state: "failed", failures: { checkpoint_not_found: 1 } }],
    ["stopped", { state: "stopped" }],
  ];

  test.each(cases)("while a sidecar is: %s", async (_name, status) => {
    const sidecar = new FakeSidecar();
    sidecar.set(status);
    const server = await startTestServer({ sidecar });

    const truth = await askAll(server.url);

    expectSameTruth(truth);
    expect(truth.health.state).toBe(status.state);
  });

  test("one after the other, as the same server goes through all of them", async () => {
    const sidecar = new FakeSidecar();
    const server = await startTestServer({ sidecar });

    for (const [, status] of cases) {
      sidecar.set({ nextTryAt: null, beatAgeMs: 10, ...status });
      expectSameTruth(await askAll(server.url));
    }
    server.admission.stop();
    const stopping = await askAll(server.url);

    expectSameTruth(stopping);
    expect(stopping.health.state).toBe("stopping");
  });
});

describe("the whole server tells the same in /health_check, /ready and /metrics", () => {
  test("while it loads", async () => {
    const server = await startFake("--fault hang --at loading");
    // The age of its step is known from the first beat on.
    await server.untilHealth(
      ({ state, sidecar }) => state === "loading" && typeof sidecar["stepAgeMs"] === "number",
    );

    const truth = await askAll(server.url);

    expectSameTruth(truth);
    expect(truth.isReady).toBe(false);
    expect(truth.page.get('dalle_sidecar_step_age_seconds{sidecar="0"}')).toBeGreaterThan(0);
  });

  test("while two sidecars serve, after one of them was killed", async () => {
    const server = await startFake("", "--sidecars", "2");
    const { sidecars } = await server.untilHealth((now) =>
      now.sidecars.every(({ state }) => state === "ready"),
    );
    process.kill(sidecars[1]?.pid ?? 0, "SIGKILL");
    await server.untilHealth(
      (now) => now.sidecars[1]?.generation === 2 && now.sidecars[1].state === "ready",
    );
    await server.post({ text: "a", num_images: 4 });

    const truth = await askAll(server.url);

    expectSameTruth(truth);
    expect(truth.isReady).toBe(true);
    expect(truth.page.all("dalle_sidecar_restarts_total")).toEqual({
      '{sidecar="1",reason="killed"}': 1,
    });
  });

  test("while the breaker is open", async () => {
    const server = await startFake("--fault exit-0 --at before-hello", "--breaker_failures", "1");
    await server.untilHealth(({ sidecar }) => sidecar.breaker.state === "open");

    const truth = await askAll(server.url);

    expectSameTruth(truth);
    expect(truth.health.state).toBe("backing_off");
    expect(truth.page.all("dalle_sidecar_failures_total")).toEqual({
      '{sidecar="0",reason="exited"}': 1,
    });
  });

  test("while it stops", async () => {
    const server = await startFake("--gate {folder}/gate");
    await server.untilReady();
    const answer = server.post({ text: "a" }).catch(() => undefined);
    await server.untilHealth(({ queue }) => queue.runningImages === 1);
    server.kill("SIGTERM");
    await server.untilHealth(({ state }) => state === "stopping");

    const truth = await askAll(server.url);

    expectSameTruth(truth);
    expect(truth.isReady).toBe(false);
    server.kill("SIGTERM");
    await answer;
  });
});
