/** Makes the faults of a schedule happen, and does what an operator would do afterwards. */
import { setTimeout as waitMs } from "node:timers/promises";

/** An operator does not wait for a restart that is further away than this. */
const PATIENCE_MS = 1_000;
const BETWEEN_SIGHUPS_MS = 2_000;
const BETWEEN_LOOKS_MS = 500;

/**
 * @typedef {import("./schedule.mjs").Fault} Fault
 * @typedef {import("../harness/built-server.mjs").BuiltServer} BuiltServer
 * @typedef {import("../harness/health.mjs").Health} Health
 */

/**
 * @param {BuiltServer} server
 * @param {Fault} fault
 * @returns {Promise<boolean>} false when the sidecar it was meant for did not run
 */
export async function inflict(server, { name, target }) {
  if (name === "SIGHUP") {
    server.kill("SIGHUP");
    return true;
  }
  const { sidecars } = await server.health();
  const pid = sidecars[target % sidecars.length]?.pid ?? null;
  if (pid === null || !server.orders.isOwn(pid)) return false;
  try {
    if (name === "SIGKILL" || name === "SIGSTOP" || name === "SIGTERM") process.kill(pid, name);
    // Before Python has set its handler up this ends the process, which is a fault as well.
    else server.orders.give(pid, name);
    return true;
  } catch {
    return false;
  }
}

/**
 * Has an operator look after the server, who starts at once what would wait and what has given up.
 *
 * @param {BuiltServer} server
 * @returns {() => Promise<void>} sends the operator away
 */
export function hireOperator(server) {
  const over = new AbortController();
  const work = async () => {
    let hangUpAtMs = -Infinity;
    while (!over.signal.aborted) {
      const hasPaused = performance.now() - hangUpAtMs >= BETWEEN_SIGHUPS_MS;
      if (hasPaused && (await server.health()).sidecars.some(isStuck)) {
        hangUpAtMs = performance.now();
        server.kill("SIGHUP");
      }
      await waitMs(BETWEEN_LOOKS_MS, undefined, { signal: over.signal }).catch(() => undefined);
    }
  };
  const done = work();
  return async () => {
    over.abort();
    await done;
  };
}

/** @param {Health["sidecar"]} sidecar */
function isStuck({ state, nextTryAt }) {
  const waitMs = nextTryAt === null ? 0 : Date.parse(nextTryAt) - Date.now();
  return state === "failed" || waitMs > PATIENCE_MS;
}
