/** Runs a schedule against a server: requests, faults, and questions whether it is ready, all at the same time. */
import { setTimeout as waitMs } from "node:timers/promises";
import { exchange } from "../harness/http.mjs";
import { call } from "./caller.mjs";
import { inflict } from "./faults.mjs";
import { listMendedTimes } from "./schedule.mjs";

const PROBE_GAP_MS = 1_000;
/** A fault may take so long until /ready can know of it: a frozen process is noticed after 4 s. */
const UNNOTICED_MS = 8_000;

/**
 * @typedef {import("./caller.mjs").Outcome} Outcome
 * @typedef {import("./schedule.mjs").PlannedRequest} PlannedRequest
 * @typedef {import("./schedule.mjs").Schedule} Schedule
 * @typedef {import("../harness/built-server.mjs").BuiltServer} BuiltServer
 *
 * @typedef {object} Probe one question whether it is ready, and the request after a yes
 * @property {number} atMs
 * @property {number} endMs
 * @property {Outcome | null} outcome null: it was not ready
 *
 * @typedef {object} Load what became of schedules
 * @property {Outcome[]} outcomes
 * @property {string[]} faults that happened
 * @property {Probe[]} probes
 * @property {string[]} problems
 */

/** @type {Omit<PlannedRequest, "prompt" | "seed">} */
const PROBE = { atMs: 0, kind: "dalle", imageCount: 1, format: "jpeg", leaveAfterMs: null };

/**
 * Resolves when every request of a schedule has ended; what became of it is added to the load.
 *
 * @param {BuiltServer} server
 * @param {Schedule} schedule
 * @param {boolean} isColoured see `call`
 * @param {Load} load
 */
export async function runLoad(server, schedule, isColoured, load) {
  const startMs = performance.now();
  const nowMs = () => performance.now() - startMs;
  const untilMs = (/** @type {number} */ atMs) => waitMs(Math.max(0, atMs - nowMs()));
  const send = (/** @type {PlannedRequest} */ planned) => call(server.url, planned, isColoured);

  const sendAll = async () => {
    const outcomes = [];
    for (const planned of schedule.requests) {
      await untilMs(planned.atMs);
      outcomes.push(send(planned));
    }
    load.outcomes.push(...(await Promise.all(outcomes)));
  };

  /** @type {{ atMs: number }[]} */
  const faults = [];
  const inflictAll = async () => {
    for (const fault of schedule.faults) {
      await untilMs(fault.atMs);
      faults.push({ atMs: nowMs() });
      if (await inflict(server, fault)) load.faults.push(fault.name);
    }
  };

  /** @type {Probe[]} */
  const probes = [];
  const probeAll = async () => {
    while (nowMs() <= schedule.durationMs) {
      const atMs = nowMs();
      const { status } = await exchange(`${server.url}/ready`);
      const seed = probes.length + 1;
      const request = { ...PROBE, prompt: `${schedule.name} probe ${seed}`, seed };
      const outcome = status === 200 ? await send(request) : null;
      probes.push({ atMs, endMs: nowMs(), outcome });
      await waitMs(PROBE_GAP_MS);
    }
  };

  await Promise.all([sendAll(), inflictAll(), probeAll()]);
  load.probes.push(...probes);
  load.outcomes.push(...probes.flatMap(({ outcome }) => outcome ?? []));
  const outages = findOutages(probes, schedule.durationMs);
  load.problems.push(
    ...findBrokenPromises(probes, faults),
    ...outages.map((outage) => `${schedule.name}: ${outage}`),
  );
}

/**
 * Ready has to mean that a request succeeds, unless something went wrong around that time.
 *
 * @param {readonly Probe[]} probes
 * @param {readonly { atMs: number }[]} faults
 */
function findBrokenPromises(probes, faults) {
  return probes.flatMap(({ atMs, endMs, outcome }) => {
    // Others may fill the queue between the two.
    if (outcome === null || outcome.code === "ok" || outcome.code === "queue_full") return [];
    const isExcused = faults.some((one) => one.atMs > atMs - UNNOTICED_MS && one.atMs < endMs);
    return isExcused ? [] : [`/ready was 200 and the request after it ended in ${outcome.code}`];
  });
}

/**
 * The quiet times at whose end it was not ready at all.
 *
 * @param {readonly Probe[]} probes
 * @param {number} durationMs
 */
function findOutages(probes, durationMs) {
  return listMendedTimes(durationMs).flatMap(([fromMs, endMs]) => {
    // A probe whose request waits long asks no more meanwhile.
    const asked = probes.filter(({ atMs }) => atMs > fromMs && atMs < endMs);
    if (asked.length === 0 || asked.some(({ outcome }) => outcome !== null)) return [];
    const seconds = `${fromMs / 1000} to ${endMs / 1000} s`;
    return [`not ready from ${seconds}, though nothing had gone wrong of late`];
  });
}
