import { describe, expect, test } from "vitest";
import { Breaker } from "../../../src/sidecar/restart/breaker.js";

function createBreaker() {
  const clock = { ms: 0 };
  const limits = { breakerFailureLimit: 3, breakerWindowMs: 1_000 };
  const breaker = new Breaker(limits, () => clock.ms);
  const fail = (count: number) => {
    for (let index = 0; index < count; index += 1) breaker.noteFailure();
  };
  return { breaker, clock, fail };
}

describe("a breaker", () => {
  test("stays closed below its limit and opens at it", () => {
    const { breaker, fail } = createBreaker();
    fail(2);
    expect(breaker.status()).toEqual({ state: "closed", recentFailures: 2, failedTrials: 0 });
    fail(1);
    expect(breaker.status().state).toBe("open");
  });

  test("forgets failures that are older than its window", () => {
    const { breaker, clock, fail } = createBreaker();
    fail(2);
    clock.ms = 1_000;
    fail(2);
    expect(breaker.status()).toMatchObject({ state: "closed", recentFailures: 2 });
  });

  test("does not forget failures because something worked between them", () => {
    const { breaker, fail } = createBreaker();
    fail(2);
    expect(breaker.noteSuccess()).toBe(false);
    fail(1);
    expect(breaker.status().state).toBe("open");
  });

  test("closes after a trial that works, with nothing held against it", () => {
    const { breaker, fail } = createBreaker();
    fail(3);
    breaker.startTrial();
    expect(breaker.status().state).toBe("half_open");
    expect(breaker.noteSuccess()).toBe(true);
    expect(breaker.status()).toEqual({ state: "closed", recentFailures: 0, failedTrials: 0 });
  });

  test("opens again after one failed trial, however long ago the others were", () => {
    const { breaker, clock, fail } = createBreaker();
    fail(3);
    clock.ms = 5_000;
    breaker.startTrial();
    fail(1);
    expect(breaker.status()).toEqual({ state: "open", recentFailures: 1, failedTrials: 1 });
  });

  test("is not put on trial while it is closed", () => {
    const { breaker } = createBreaker();
    breaker.startTrial();
    expect(breaker.status().state).toBe("closed");
  });
});
