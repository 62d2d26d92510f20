/** What a server has at one moment, counted from outside (Linux). */
import { readdirSync, readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as waitMs } from "node:timers/promises";
import { readResidentBytes } from "../../bench/lib/server.mjs";
import { untilHealth } from "./server.mjs";

/** V8 gives what it holds free back some seconds after the last work, up to 30 MiB: waited for. */
const READING_GAP_MS = 2_000;
/** So many readings in a row that differ by less than this share are a steady state. */
const STEADY_READINGS = 5;
const STEADY_SHARE = 0.005;
const MAX_READINGS = 60;
const IDLE_LIMIT_MS = 120_000;

/**
 * @typedef {object} Census
 * @property {number} rssBytes resident, after garbage was collected until that changed nothing
 * @property {number} descriptors
 * @property {readonly number[]} strays processes that no running sidecar accounts for
 *
 * @typedef {import("./server.mjs").SoakServer} SoakServer
 */

/**
 * Waits until there is nothing to do and every sidecar is ready, then counts.
 *
 * @param {SoakServer} server
 * @returns {Promise<Census>}
 */
export async function takeCensus(server) {
  const health = await untilHealth(
    server,
    ({ queue, sidecars }) =>
      queue.openJobs === 0 &&
      queue.runningImages === 0 &&
      sidecars.every(({ state }) => state === "ready"),
    IDLE_LIMIT_MS,
  );
  const current = new Set(health.sidecars.map(({ pid }) => pid));
  const strays = listPids(server).filter((pid) => !current.has(pid) && isRunning(pid));
  return {
    rssBytes: await readSteadyBytes(server),
    descriptors: readdirSync(`/proc/${server.pid}/fd`).length,
    strays: strays.filter((pid) => !isInGroupOf(pid, current)),
  };
}

/** @param {SoakServer} server */
async function readSteadyBytes(server) {
  /** @type {number[]} */
  let steady = [];
  let lastBytes = 0;
  for (let count = 0; count < MAX_READINGS && steady.length < STEADY_READINGS; count += 1) {
    server.kill("SIGUSR2");
    await waitMs(READING_GAP_MS);
    lastBytes = await readResidentBytes(server.pid);
    const isSteady = steady.every((one) => Math.abs(one / lastBytes - 1) < STEADY_SHARE);
    steady = isSteady ? [...steady, lastBytes] : [lastBytes];
  }
  return lastBytes;
}

/**
 * Every process that the server or one of its sidecars has started.
 *
 * @param {SoakServer} server
 */
export function listPids({ folder }) {
  const sidecars = readdirSync(join(folder, "pids")).map(Number);
  const orders = readdirSync(join(folder, "orders"));
  const grandchildren = orders.flatMap((name) => /^grandchild-(\d+)$/.exec(name)?.[1] ?? []);
  return [...sidecars, ...grandchildren.map(Number)];
}

/**
 * Whether a process runs; one that has ended and waits to be collected does not.
 *
 * @param {number} pid
 */
export function isRunning(pid) {
  const state = readStat(pid)[0];
  return state !== undefined && state !== "Z" && state !== "X";
}

/**
 * @param {number} pid
 * @param {ReadonlySet<number | null>} leaders
 */
function isInGroupOf(pid, leaders) {
  return leaders.has(Number(readStat(pid)[2]));
}

/**
 * The fields of /proc/PID/stat after the name: state, parent, group...; none when there is no such process.
 *
 * @param {number} pid
 */
function readStat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}

/**
 * The names of all files below a folder, relative to it.
 *
 * @param {string} folder
 */
export async function listFiles(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}
