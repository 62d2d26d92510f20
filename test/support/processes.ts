/** What tests ask about processes, of the same reader of /proc as the server. */
import { expect, vi } from "vitest";
import { readStartTime } from "../../src/sidecar/process/procfs.js";

/** A pid that no process has: over the highest that Linux gives. */
export const NO_PID = 2 ** 22 + 1;

/** Far longer than anything takes: reached only when something is wrong. */
export const PATIENCE = { timeout: 20_000, interval: 10 };

/** Whether a process runs; one that has ended and waits to be collected does not. */
export function isRunning(pid: number): boolean {
  return readStartTime(pid) !== null;
}

/** Waits until none of these processes runs. */
export async function expectGone(...pids: readonly (number | null)[]): Promise<void> {
  const known = pids.flatMap((pid) => (pid !== null && pid > 0 ? [pid] : []));
  expect(known).toEqual(pids);
  // Not expect.poll, which concurrent tests cannot use.
  await vi.waitFor(() => {
    expect(known.filter(isRunning)).toEqual([]);
  }, PATIENCE);
}
