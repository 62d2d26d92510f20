/** Makes the faults of a schedule happen, and does what an operator would do afterwards. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** An operator does not wait for a restart that is further away than this. */
const PATIENCE_MS = 1_000;
const BETWEEN_SIGHUPS_MS = 2_000;

/**
 * @typedef {import("./schedule.mjs").Fault} Fault
 * @typedef {import("./server.mjs").SoakServer} SoakServer
 */

/**
 * @param {SoakServer} server
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
  if (pid === null || !isSidecarOf(server, pid)) return false;
  if (name === "SIGKILL" || name === "SIGSTOP" || name === "SIGTERM") return signal(pid, name);
  writeFileSync(join(server.folder, "orders", String(pid)), name);
  // Before Python has set its handler up this ends the process, which is a fault as well.
  return signal(pid, "SIGUSR2");
}

/**
 * Starts at once what would wait, and what has given up. Does nothing most of the time.
 *
 * @param {SoakServer} server
 */
export function createOperator(server) {
  let lastAtMs = -Infinity;
  return async () => {
    if (performance.now() - lastAtMs < BETWEEN_SIGHUPS_MS) return;
    const { sidecars } = await server.health();
    const isStuck = sidecars.some(
      ({ state, nextTryAt }) =>
        state === "failed" ||
        (nextTryAt !== null && Date.parse(nextTryAt) - Date.now() > PATIENCE_MS),
    );
    if (!isStuck) return;
    lastAtMs = performance.now();
    server.kill("SIGHUP");
  };
}

/**
 * The number may belong to a stranger by now.
 *
 * @param {SoakServer} server
 * @param {number} pid
 */
function isSidecarOf({ folder }, pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(folder);
  } catch {
    return false;
  }
}

/**
 * @param {number} pid
 * @param {NodeJS.Signals} name
 */
function signal(pid, name) {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
