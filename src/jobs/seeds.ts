import { randomInt } from "node:crypto";

const SEED_COUNT = 2 ** 32;

/** The seeds of a request's images: `base`, `base + 1`, ..., wrapping at 2^32; null draws the base. */
export function createSeeds(base: number | null, imageCount: number): number[] {
  const first = base ?? randomInt(SEED_COUNT);
  return Array.from({ length: imageCount }, (_, index) => (first + index) % SEED_COUNT);
}
