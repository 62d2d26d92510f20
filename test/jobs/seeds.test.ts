import { describe, expect, test } from "vitest";
import { createSeeds } from "../../src/jobs/seeds.js";

describe("seeds", () => {
  test("count up from the given one and wrap at 2^32", () => {
    expect(createSeeds(4_294_967_294, 4)).toEqual([4_294_967_294, 4_294_967_295, 0, 1]);
  });

  test("count up from a drawn one when none is given: integers of 32 bits, all different", () => {
    const seeds = createSeeds(null, 100);
    expect(seeds).toEqual(createSeeds(seeds[0] ?? null, 100));
    expect(new Set(seeds).size).toBe(100);
    expect(seeds.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)).toBe(true);
  });
});
