import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { Failure } from "../../../src/sidecar/failure.js";
import { Liveness } from "../../../src/sidecar/watch/liveness.js";
import type { Beat } from "../../../src/wire/messages.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function createLiveness() {
  const pings: number[] = [];
  const failures: Failure[] = [];
  const liveness = new Liveness({
    limits: {
      beatIntervalMs: 1_000,
      missedBeatLimit: 3,
      startMissedBeatLimit: 10,
      phaseBudgetMs: { generate: 5_000 },
    },
    ping: (sequence) => pings.push(sequence),
    onDead: (failure) => failures.push(failure),
  });
  liveness.start();
  onTestFinished(() => {
    liveness.stop();
  });
  return { liveness, pings, failures };
}

function createBeat(changes: Partial<Beat>): Beat {
  const counts = { sequence: 1, rssBytes: 1 };
  return { type: "BEAT", phase: "idle", stepAgeMs: 0, ...counts, ...changes };
}

describe("the watch over a sidecar", () => {
  test("pings at each interval", () => {
    const { pings } = createLiveness();

    vi.advanceTimersByTime(3_000);

    expect(pings).toEqual([1, 2, 3]);
  });

  test.each([
    ["three and a half silent intervals once it is ready", true, 3_500, "3 beats of 1000 ms"],
    ["ten and a half while it loads", false, 10_500, "10 beats of 1000 ms"],
  ])("gives up after %s", (_title, isReady, limitMs, words) => {
    const { liveness, failures } = createLiveness();
    if (isReady) liveness.noteReady();

    vi.advanceTimersByTime(limitMs - 1);
    expect(failures).toEqual([]);
    vi.advanceTimersByTime(1);

    expect(failures).toMatchObject([{ code: "silent", isPermanent: false }]);
    expect(failures[0]?.message).toContain(words);
  });

  test("notices within 4 s of a frozen process, whenever it froze between two beats", () => {
    for (let frozenAfterMs = 0; frozenAfterMs < 1_000; frozenAfterMs += 100) {
      const { liveness, failures } = createLiveness();
      liveness.noteReady();
      vi.advanceTimersByTime(frozenAfterMs);
      liveness.noteFrame();
      vi.advanceTimersByTime(3_200);
      expect(failures).toEqual([]);
      vi.advanceTimersByTime(500);
      expect(failures).toContainEqual(expect.objectContaining({ code: "silent" }));
      liveness.stop();
    }
  });

  test("takes any frame for a sign of life", () => {
    const { liveness, failures } = createLiveness();
    liveness.noteReady();

    for (let round = 0; round < 10; round += 1) {
      vi.advanceTimersByTime(2_500);
      liveness.noteFrame();
    }

    expect(failures).toEqual([]);
  });

  test("does not take its own sleep for the silence of the sidecar", () => {
    const { liveness, failures } = createLiveness();
    liveness.noteReady();

    vi.setSystemTime(Date.now() + 3_600_000);
    vi.advanceTimersByTime(3_000);

    expect(failures).toEqual([]);
  });

  test.each<[string, Partial<Beat>, number]>([
    ["a step within its budget", { phase: "generate", stepAgeMs: 5_000 }, 0],
    ["a step over its budget", { phase: "generate", stepAgeMs: 5_001 }, 1],
    ["a phase without a budget", { phase: "idle", stepAgeMs: 3_600_000 }, 0],
  ])("judges %s", (_title, beat, failureCount) => {
    const { liveness, failures } = createLiveness();

    liveness.noteBeat(createBeat(beat));

    expect(failures.map(({ code }) => code)).toEqual(Array(failureCount).fill("hung"));
  });

  test.each([0, 100, 500, 900])(
    "asks when the budget ends, not at the next beat: a hang %i ms after a beat is known at once",
    (offsetMs) => {
      const { liveness, pings, failures } = createLiveness();
      const hangsAtMs = Date.now() + offsetMs;
      /** A sidecar that answers each ping at once, and hangs. */
      const answer = (age: number) => {
        const stepAgeMs = Math.max(0, age);
        liveness.noteBeat(createBeat({ phase: "generate", stepAgeMs, sequence: pings.length }));
      };
      while (failures.length === 0 && Date.now() < hangsAtMs + 10_000) {
        const asked = pings.length;
        vi.advanceTimersByTime(1);
        if (pings.length > asked) answer(Date.now() - hangsAtMs);
      }

      expect(failures).toMatchObject([{ code: "hung" }]);
      expect(Date.now() - hangsAtMs).toBe(5_001);
    },
  );

  test("asks once more for a step that was made in time, and is content", () => {
    const { liveness, pings, failures } = createLiveness();

    liveness.noteBeat(createBeat({ phase: "generate", stepAgeMs: 4_900 }));
    vi.advanceTimersByTime(101);
    expect(pings).toEqual([1]);
    liveness.noteBeat(createBeat({ phase: "generate", stepAgeMs: 10 }));
    vi.advanceTimersByTime(900);

    expect(pings).toEqual([1, 2]);
    expect(failures).toEqual([]);
  });

  test("says nothing after it was stopped", () => {
    const { liveness, pings, failures } = createLiveness();
    liveness.noteBeat(createBeat({ phase: "generate", stepAgeMs: 4_900 }));

    liveness.stop();
    liveness.noteBeat(createBeat({ phase: "generate", stepAgeMs: 4_900 }));
    vi.advanceTimersByTime(60_000);

    expect(pings).toEqual([]);
    expect(failures).toEqual([]);
  });
});
