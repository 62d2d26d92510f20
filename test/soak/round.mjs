/** One server from its start to its end, under load and faults, and everything that must hold. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { START_LIMIT_MS, until } from "../harness/until.mjs";
import { call, findFlaw } from "./caller.mjs";
import { takeCensus } from "./census.mjs";
import { hireOperator } from "./faults.mjs";
import { runLoad } from "./load.mjs";
import { findBadEnds, findBadLines } from "./log-check.mjs";
import { createSchedule, PACES } from "./schedule.mjs";
import { startServer } from "./server.mjs";

const LAST_REQUESTS = 8;
/** How long the kernel may take to end processes. */
const END_LIMIT_MS = 5_000;

/**
 * @typedef {object} RoundOptions
 * @property {string} name
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
  try {
    await server.untilHealth(areReady, START_LIMIT_MS);
    const dismiss = hireOperator(server);
    const { warm, end, load } = await loadTwice(server, options);
    await dismiss();
    const spawns = (await server.health()).sidecars.reduce((sum, one) => sum + one.generation, 0);
    const stop = await stopUnderLoad(server, options);
    load.outcomes.push(...stop.outcomes);
    const ids = load.outcomes.flatMap(({ requestId }) => requestId ?? []);
    const leftCount = load.outcomes.filter(({ kind }) => kind === "left").length;
    const saved = options.isSaving ? await checkSaved(server) : null;
    const restartProblem =
      options.faults.length === 0 && spawns > options.sidecarCount
        ? [`a false alarm: ${spawns} spawns of ${options.sidecarCount} sidecars without a fault`]
        : [];
    const problems = [
      ...load.problems,
      ...load.outcomes.flatMap((outcome) => outcome.problems),
      ...compare(warm, end, options.memoryTolerance),
      ...restartProblem,
      ...stop.problems,
      ...(saved?.problems ?? []),
      ...findBadLines(server.lines),
      ...findBadEnds(server.lines, ids, leftCount),
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
 */
async function loadTwice(server, options) {
  const { name, seed, warmUpMs, durationMs, sidecar, faults } = options;
  const pace = PACES[sidecar];
  const main = { name: `${name} main`, seed, durationMs, pace, faults };
  const warmUp = { ...main, name: `${name} warm-up`, seed: seed + 1, durationMs: warmUpMs };
  const isColoured = sidecar === "fake";
  const isSteady = options.memoryTolerance !== null;
  const early = await runLoad(server, createSchedule(warmUp), isColoured);
  const warm = await takeCensus(server, isSteady);
  const late = await runLoad(server, createSchedule(main), isColoured);
  const end = await takeCensus(server, isSteady);
  return { warm, end, load: joinLoads(early, late) };
}

/**
 * @param {Load} one
 * @param {Load} other
 * @returns {Load}
 */
function joinLoads(one, other) {
  return {
    outcomes: [...one.outcomes, ...other.outcomes],
    faults: [...one.faults, ...other.faults],
    probes: one.probes + other.probes,
    readyProbes: one.readyProbes + other.readyProbes,
    problems: [...one.problems, ...other.problems],
  };
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
 */
async function stopUnderLoad(server, { name, sidecar, faults }) {
  const plan = { atMs: 0, kind: /** @type {const} */ ("dalle"), imageCount: 2, leaveAfterMs: null };
  const format = /** @type {const} */ ("jpeg");
  const calls = Array.from({ length: LAST_REQUESTS }, (_, seed) =>
    call(server.url, { ...plan, format, seed, prompt: `${name} last ${seed}` }, sidecar === "fake"),
  );
  await server.untilHealth(({ queue }) => queue.runningImages > 0);
  const [code, all] = await Promise.all([server.stop(), Promise.all(calls)]);
  // Those that had not arrived yet are refused, or find the port closed. That none of those that had
  // arrived is cut off is seen in the log.
  const outcomes = all.filter(({ kind }) => kind === "answered");
  const failed = outcomes.filter(({ code: one }) => one !== "ok" && one !== "shutting_down");
  return {
    outcomes,
    problems: [
      ...(code === 0 ? [] : [`the server ended with code ${String(code)} after SIGTERM`]),
      // A fault may have been waiting in the sidecar for its next task.
      ...(faults.length > 0
        ? []
        : failed.map((outcome) => `a last request ended in ${outcome.code}`)),
    ],
  };
}

/** @param {BuiltServer} server that has ended */
async function findLeftovers(server) {
  const describe = () => `processes are left: ${server.orders.listRunning().join(", ")}`;
  const areGone = () => (server.orders.listRunning().length === 0 ? true : null);
  const files = await server.listTemporary();
  return [
    ...(await until(areGone, END_LIMIT_MS, describe).then(
      () => [],
      (/** @type {unknown} */ error) => [String(error)],
    )),
    ...(files.length === 0 ? [] : [`temporary files left: ${files.join(", ")}`]),
  ];
}

/** @param {BuiltServer} server that has ended */
async function checkSaved({ folder }) {
  const images = join(folder, "images");
  const entries = await readdir(images, { recursive: true, withFileTypes: true });
  const files = entries.flatMap((one) => (one.isFile() ? [join(one.parentPath, one.name)] : []));
  const problems = [];
  for (const file of files) {
    const isFinished = file.endsWith(".jpeg") || file.endsWith(".png") || file.endsWith(".webp");
    const format = /** @type {"jpeg" | "png" | "webp"} */ (file.slice(file.lastIndexOf(".") + 1));
    const flaw = isFinished
      ? await findFlaw(await readFile(file), format, null)
      : "it is not finished";
    if (flaw !== null) problems.push(`saved file ${file}: ${flaw}`);
  }
  return { count: files.length, problems };
}
