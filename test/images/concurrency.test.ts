import { describe, expect, test } from "vitest";
import { limitConcurrency } from "../../src/images/concurrency.js";

describe("limited concurrency", () => {
  test("runs at most the limit at once, in order, and everything in the end", async () => {
    const runLimited = limitConcurrency(2);
    const order: number[] = [];
    let activeCount = 0;
    let mostActive = 0;
    const work = async (index: number) => {
      activeCount += 1;
      mostActive = Math.max(mostActive, activeCount);
      order.push(index);
      await new Promise(setImmediate);
      activeCount -= 1;
      return index * 2;
    };
    const indexes = Array.from({ length: 9 }, (_, index) => index);
    const results = await Promise.all(indexes.map((index) => runLimited(() => work(index))));
    expect(results).toEqual(indexes.map((index) => index * 2));
    expect(order).toEqual(indexes);
    expect(mostActive).toBe(2);
  });

  test("a failure is passed on and makes room", async () => {
    const runLimited = limitConcurrency(1);
    const failing = runLimited(() => Promise.reject(new Error("no")));
    const next = runLimited(() => Promise.resolve("yes"));
    await expect(failing).rejects.toThrow("no");
    await expect(next).resolves.toBe("yes");
  });
});
