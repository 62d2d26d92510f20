import { describe, expect, test } from "vitest";
import { Backoff } from "../../../src/sidecar/restart/backoff.js";

const LIMITS = { backoffBaseMs: 500, backoffCapMs: 30_000 };

function takeDelays(backoff: Backoff, count: number): number[] {
  return Array.from({ length: count }, () => backoff.nextMs());
}

describe("the backoff", () => {
  test("doubles its limit from the base to the cap", () => {
    const backoff = new Backoff(LIMITS, () => 1);

    expect(takeDelays(backoff, 9)).toEqual([
      500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000,
    ]);
  });

  test("draws each delay between 0 and the limit", () => {
    const draws = [0, 0.5, 0.25];
    const backoff = new Backoff(LIMITS, () => draws.shift() ?? 0);

    expect(takeDelays(backoff, 3)).toEqual([0, 500, 500]);
  });

  test("starts again after a reset", () => {
    const backoff = new Backoff(LIMITS, () => 1);
    takeDelays(backoff, 5);

    backoff.reset();

    expect(takeDelays(backoff, 2)).toEqual([500, 1000]);
  });

  test("draws with full jitter by default", () => {
    const delays = Array.from({ length: 200 }, () => new Backoff(LIMITS).nextMs());

    expect(Math.min(...delays)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...delays)).toBeLessThanOrEqual(500);
    expect(new Set(delays).size).toBeGreaterThan(10);
  });
});
