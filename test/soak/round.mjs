/** One server from its start to its end, under load and faults, and everything that must hold. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { START_LIMIT_MS, until } from "../harness/until.mjs";
import { call, findFlaw } from "./caller.mjs";
import { takeCensus } from "./census.mjs";
import { hireOperator } from "./faults.mjs";
import { runLoad } from "./load.mjs";
import { findBadEnds, findBadLines } from "./log-check.mjs";
import { createSchedule, FORMATS, PACES } from "./schedule.mjs";
import { startServer } from "./server.mjs";

const LAST_REQUESTS = 8;
/** How long the kernel may take to end processes. */
const END_LIMIT_MS = 5_000;

/**
 * @typedef {object} RoundOptions
 * @property {number} seed
 * @property {number} warmUpMs
 * @property {number} durationMs after the warm-up
 * @property {"fake" | "nano"} sidecar
 * @property {number} sidecarCount
 * @property {boolean} isSaving
 * @property {readonly import("./schedule.mjs").FaultName[]} faults
 * @property {readonly string[]} flags
 * @property {number | null} memoryTolerance by which share the server's memory may grow after the warm-up; null: by any
 *
 * @typedef {import("./census.mjs").Census} Census
 * @typedef {import("./load.mjs").Load} Load
 * @typedef {import("../harness/built-server.mjs").BuiltServer} BuiltServer
 *
 * @typedef {object} RoundReport
 * @property {RoundOptions} options
 * @property {Load} load
 * @property {number} spawns of sidecars
 * @property {Census} warm
 * @property {Census} end
 * @property {number | null} savedImages
 * @property {readonly string[]} problems none: everything held
 */

/**
 * @param {RoundOptions} options
 * @returns {Promise<RoundReport>}
 */
export async function runRound(options) {
  const server = await startServer(options);
  /** @type {Load} */
  const load = { outcomes: [], faults: [], probes: [], problems: [] };
  try {
    await server.untilHealth(areReady, START_LIMIT_MS);
    const dismiss = hireOperator(server);
    const { warm, end } = await loadTwice(server, options, load);
    await dismiss();
    const spawns = (await server.health()).sidecars.reduce((sum, one) => sum + one.generation, 0);
    if (options.faults.length === 0 && spawns > options.sidecarCount) {
      const counts = `${spawns} spawns of ${options.sidecarCount} sidecars`;
      load.problems.push(`a false alarm: ${counts} without a fault`);
    }
    await stopUnderLoad(server, options, load);
    const saved = options.isSaving ? await checkSaved(server) : null;
    const problems = [
      ...load.problems,
      ...load.outcomes.flatMap((outcome) => outcome.problems),
      ...compare(warm, end, options.memoryTolerance),
      ...(saved?.problems ?? []),
      ...findBadLines(server.lines),
      ...findBadEnds(server.lines, load.outcomes),
      ...(await findLeftovers(server)),
    ];
    return { options, load, spawns, warm, end, savedImages: saved?.count ?? null, problems };
  } catch (error) {
    // Mostly the server has ended, and its log says why.
    const text = ["the round was cut short", ...findBadLines(server.lines)].join("\n");
    throw new Error(text, { cause: error });
  } finally {
    await server.dispose();
  }
}

/** @param {import("../harness/health.mjs").Health} health */
function areReady({ sidecars }) {
  return sidecars.every(({ state }) => state === "ready");
}

/**
 * @param {BuiltServer} server
 * @param {RoundOptions} options
 * @param {Load} load
 */
async function loadTwice(server, options, load) {
  const { seed, warmUpMs, durationMs, sidecar, faults } = options;
  const main = { name: "main", seed, durationMs, pace: PACES[sidecar], faults };
  const warmUp = { ...main, name: "warm-up", seed: seed + 1, durationMs: warmUpMs };
  const isSteady = options.memoryTolerance !== null;
  await runLoad(server, createSchedule(warmUp), sidecar === "fake", load);
  const warm = await takeCensus(server, isSteady);
  await runLoad(server, createSchedule(main), sidecar === "fake", load);
  return { warm, end: await takeCensus(server, isSteady) };
}

/**
 * @param {Census} warm
 * @param {Census} end
 * @param {number | null} memoryTolerance
 */
function compare(warm, end, memoryTolerance) {
  const problems = [];
  const growth = end.rssBytes / warm.rssBytes - 1;
  // Less than before is what the allocator had not given back yet when the server was warm.
  if (memoryTolerance !== null && growth > memoryTolerance) {
    problems.push(`the memory of the server grew by ${(100 * growth).toFixed(1)} %`);
  }
  if (end.descriptors > warm.descriptors) {
    problems.push(`${end.descriptors} open descriptors, after ${warm.descriptors} when warm`);
  }
  for (const { strays } of [warm, end]) {
    if (strays.length > 0) problems.push(`processes of no sidecar: ${strays.join(", ")}`);
  }
  return problems;
}

/**
 * Sends the last requests, and SIGTERM while they run.
 *
 * @param {BuiltServer} server
 * @param {RoundOptions} options
 * @param {Load} load
 */
async function stopUnderLoad(server, { sidecar, faults }, load) {
  /** @type {Omit<import("./schedule.mjs").PlannedRequest, "prompt" | "seed">} */
  const plan = { atMs: 0, kind: "dalle", imageCount: 2, format: "jpeg", leaveAfterMs: null };
  const calls = Array.from({ length: LAST_REQUESTS }, (_, seed) =>
    call(server.url, { ...plan, seed, prompt: `last ${seed}` }, sidecar === "fake"),
  );
  await server.untilHealth(({ queue }) => queue.runningImages > 0);
  const [exitCode, all] = await Promise.all([server.stop(), Promise.all(calls)]);
  if (exitCode !== 0) {
    load.problems.push(`the server ended with code ${String(exitCode)} after SIGTERM`);
  }
  // Those that had not arrived yet are refused, or find the port closed. That none of those that had
  // arrived is cut off is seen in the log.
  const outcomes = all.filter(({ requestId }) => requestId !== null);
  load.outcomes.push(...outcomes);
  // A fault may have been waiting in the sidecar for its next task.
  if (faults.length > 0) return;
  const failed = outcomes.filter(({ code }) => code !== "ok" && code !== "shutting_down");
  load.problems.push(...failed.map(({ code }) => `a last request ended in ${code}`));
}

/** @param {BuiltServer} server that has ended */
async function findLeftovers(server) {
  const problems = [];
  const describe = () => `processes are left: ${server.orders.listRunning().join(", ")}`;
  const areGone = () => (server.orders.listRunning().length === 0 ? true : null);
  await until(areGone, END_LIMIT_MS, describe).catch((/** @type {unknown} */ error) =>
    problems.push(String(error)),
  );
  const files = await server.listTemporary();
  if (files.length > 0) problems.push(`temporary files left: ${files.join(", ")}`);
  return problems;
}

/** @param {BuiltServer} server that has ended */
async function checkSaved({ folder }) {
  const images = join(folder, "images");
  const entries = await readdir(images, { recursive: true, withFileTypes: true });
  const files = entries.flatMap((one) => (one.isFile() ? [join(one.parentPath, one.name)] : []));
  const problems = [];
  for (const file of files) {
    const format = FORMATS.find((one) => file.endsWith(`.${one}`));
    const flaw =
      format === undefined
        ? "it is not finished"
        : await findFlaw(await readFile(file), format, null);
    if (flaw !== null) problems.push(`saved file ${file}: ${flaw}`);
  }
  return { count: files.length, problems };
}
