import { describe, expect, test } from "vitest";
import { WaitEstimate } from "../../src/jobs/wait-estimate.js";

function paceOf(durationMs: number, runningCount: number): WaitEstimate {
  const pace = new WaitEstimate();
  for (let count = 0; count < 50; count += 1) pace.add(durationMs, runningCount);
  return pace;
}

describe("the estimate of when to come back", () => {
  test.each([
    ["one at a time", 3_000, 1, 4, 12],
    ["four at a time", 8_000, 4, 4, 8],
    ["faster than a second", 10, 1, 5, 1],
    ["longer than a minute", 30_000, 1, 10, 60],
  ])("%s", (_name, durationMs, runningCount, imageCount, expectedS) => {
    expect(paceOf(durationMs, runningCount).seconds(imageCount)).toBe(expectedS);
  });

  test("follows a change of pace", () => {
    const pace = paceOf(1_000, 1);
    for (let count = 0; count < 50; count += 1) pace.add(5_000, 1);
    expect(pace.seconds(1)).toBe(5);
  });

  test("is a guess within the limits before anything is known", () => {
    expect(new WaitEstimate().seconds(1)).toBeGreaterThanOrEqual(1);
    expect(new WaitEstimate().seconds(1_000)).toBe(60);
  });
});
