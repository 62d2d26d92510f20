/** Waits for what comes without a word, within a limit that is reached only when something is wrong. */
import { setTimeout as waitMs } from "node:timers/promises";

/** Longer than anything takes but a start of the real sidecar. */
export const PATIENCE_MS = 25_000;
/** Longer than any start of the real sidecar takes, on a busy machine too. */
export const START_LIMIT_MS = 240_000;
const LOOK_MS = 10;

/**
 * @template T
 * @param {() => T | null | Promise<T | null>} look finds what is waited for, or null
 * @param {number} limitMs
 * @param {() => string} describe what is missing
 * @returns {Promise<T>}
 */
export async function until(look, limitMs, describe) {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (performance.now() > endMs) throw new Error(`after ${limitMs} ms ${describe()}`);
    await waitMs(LOOK_MS);
  }
}
