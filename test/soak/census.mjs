/** What a server has at one moment, counted from outside (Linux). */
import { readdirSync } from "node:fs";
import { setTimeout as waitMs } from "node:timers/promises";
import { readProcess, readResidentBytes } from "../harness/procfs.mjs";

/** V8 gives what it holds free back some seconds after the last work, up to 30 MiB: waited for. */
const READING_GAP_MS = 2_000;
/** So many readings in a row that differ by less than this share are a steady state. */
const STEADY_READINGS = 5;
const STEADY_SHARE = 0.005;
const MAX_READINGS = 60;
const DESCRIPTOR_READINGS = 20;
const DESCRIPTOR_GAP_MS = 50;
const IDLE_LIMIT_MS = 120_000;

/**
 * @typedef {import("../harness/built-server.mjs").BuiltServer} BuiltServer
 *
 * @typedef {object} Census
 * @property {number} rssBytes resident
 * @property {number} descriptors
 * @property {readonly number[]} strays processes that no running sidecar accounts for
 */

/**
 * Waits until there is nothing to do and every sidecar is ready, then counts.
 *
 * @param {BuiltServer} server
 * @param {boolean} isSteady whether to collect garbage until that changes nothing
 * @returns {Promise<Census>}
 */
export async function takeCensus(server, isSteady) {
  const { sidecars } = await server.untilHealth(
    (health) =>
      health.queue.openJobs === 0 &&
      health.queue.runningImages === 0 &&
      health.sidecars.every(({ state }) => state === "ready"),
    IDLE_LIMIT_MS,
  );
  const leaders = new Set(sidecars.map(({ pid }) => pid));
  const isStray = (/** @type {number} */ pid) => !leaders.has(readProcess(pid)?.groupId ?? null);
  return {
    strays: server.orders.listRunning().filter(isStray),
    rssBytes: isSteady ? await readSteadyBytes(server) : readResidentBytes(server.pid),
    descriptors: await countDescriptors(server.pid),
  };
}

/**
 * The fewest that are open within a second: the connection of the last question is about to be closed.
 *
 * @param {number} pid
 */
async function countDescriptors(pid) {
  let fewest = Infinity;
  for (let count = 0; count < DESCRIPTOR_READINGS; count += 1) {
    fewest = Math.min(fewest, readdirSync(`/proc/${pid}/fd`).length);
    await waitMs(DESCRIPTOR_GAP_MS);
  }
  return fewest;
}

/** @param {BuiltServer} server */
async function readSteadyBytes(server) {
  /** @type {number[]} */
  let steady = [];
  let lastBytes = 0;
  for (let count = 0; count < MAX_READINGS && steady.length < STEADY_READINGS; count += 1) {
    server.kill("SIGUSR2");
    await waitMs(READING_GAP_MS);
    lastBytes = readResidentBytes(server.pid);
    const isSteady = steady.every((one) => Math.abs(one / lastBytes - 1) < STEADY_SHARE);
    steady = isSteady ? [...steady, lastBytes] : [lastBytes];
  }
  return lastBytes;
}
