import { setTimeout as sleep } from "node:timers/promises";

/** Waits for some milliseconds, or until the signal aborts. */
export async function waitMs(durationMs: number, signal?: AbortSignal): Promise<void> {
  await sleep(durationMs, undefined, { signal }).catch(() => undefined);
}
