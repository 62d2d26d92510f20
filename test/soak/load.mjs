/** Runs a schedule against a server: requests, faults, and somebody who asks whether it is ready. */
import { setTimeout as waitMs } from "node:timers/promises";
import { call } from "./caller.mjs";
import { createOperator, inflict } from "./faults.mjs";
import { listMendedTimes } from "./schedule.mjs";
import { ask } from "./server.mjs";

const PROBE_GAP_MS = 1_000;
const OPERATOR_GAP_MS = 500;
/** A fault may take so long until /ready can know of it: a frozen process is noticed after 4 s. */
const UNNOTICED_MS = 8_000;

/**
 * @typedef {import("./caller.mjs").Outcome} Outcome
 * @typedef {import("./schedule.mjs").PlannedRequest} PlannedRequest
 * @typedef {import("./schedule.mjs").Schedule} Schedule
 * @typedef {import("./server.mjs").SoakServer} SoakServer
 *
 * @typedef {object} Load what became of a schedule
 * @property {Outcome[]} outcomes
 * @property {string[]} faults that happened
 * @property {number} probes
 * @property {number} readyProbes
 * @property {string[]} problems
 */

/** @type {Omit<PlannedRequest, "prompt" | "seed">} */
const PROBE = { atMs: 0, kind: "dalle", imageCount: 1, format: "jpeg", leaveAfterMs: null };

/**
 * Resolves when every request has ended.
 *
 * @param {SoakServer} server
 * @param {Schedule} schedule
 * @param {string} name of this schedule, for the prompts of the probes
 * @param {boolean} isColoured see `call`
 * @returns {Promise<Load>}
 */
export async function runLoad(server, schedule, name, isColoured) {
  const startedMs = performance.now();
  const elapsedMs = () => performance.now() - startedMs;
  /** @type {Load} */
  const load = { outcomes: [], faults: [], probes: 0, readyProbes: 0, problems: [] };
  /** @type {number[]} */
  const faultTimes = [];
  /** @type {{ atMs: number, isReady: boolean }[]} */
  const probes = [];
  const untilMs = (/** @type {number} */ atMs) => waitMs(Math.max(0, atMs - elapsedMs()));
  const isOver = () => elapsedMs() > schedule.durationMs;

  const request = async () => {
    /** @type {Promise<void>[]} */
    const calls = [];
    for (const planned of schedule.requests) {
      await untilMs(planned.atMs);
      calls.push(
        call(server.url, planned, isColoured).then((outcome) => void load.outcomes.push(outcome)),
      );
    }
    await Promise.all(calls);
  };
  const inflictAll = async () => {
    for (const fault of schedule.faults) {
      await untilMs(fault.atMs);
      faultTimes.push(elapsedMs());
      if (await inflict(server, fault)) load.faults.push(fault.name);
    }
  };
  /** Ready has to mean that a request succeeds, unless something went wrong around that time. */
  const probe = async () => {
    while (!isOver()) {
      const askedMs = elapsedMs();
      const { status } = await ask(`${server.url}/ready`);
      load.probes += 1;
      probes.push({ atMs: askedMs, isReady: status === 200 });
      if (status === 200) {
        load.readyProbes += 1;
        const planned = { ...PROBE, prompt: `${name} probe ${load.probes}`, seed: load.probes };
        const outcome = await call(server.url, planned, isColoured);
        load.outcomes.push(outcome);
        const isExcused = faultTimes.some((atMs) => atMs > askedMs - UNNOTICED_MS);
        // Others may fill the queue between the two.
        const isTaken = outcome.code === "ok" || outcome.code === "queue_full";
        if (!isTaken && !isExcused) {
          load.problems.push(`/ready was 200 and the request after it ended in ${outcome.code}`);
        }
      }
      await waitMs(PROBE_GAP_MS);
    }
  };
  await Promise.all([request(), inflictAll(), probe()]);
  for (const [fromMs, endMs] of listMendedTimes(schedule.durationMs)) {
    // A probe whose request waits long asks no more meanwhile.
    const asked = probes.filter(({ atMs }) => atMs > fromMs && atMs < endMs);
    if (asked.length === 0 || asked.some(({ isReady }) => isReady)) continue;
    const seconds = `${fromMs / 1000} to ${endMs / 1000} s`;
    load.problems.push(`${name}: not ready from ${seconds}, though nothing had gone wrong of late`);
  }
  return load;
}

/**
 * Has an operator look after the server until the returned function is called.
 *
 * @param {SoakServer} server
 * @returns {() => Promise<void>}
 */
export function hireOperator(server) {
  const over = new AbortController();
  const act = createOperator(server);
  const work = async () => {
    while (!over.signal.aborted) {
      await act();
      await waitMs(OPERATOR_GAP_MS, undefined, { signal: over.signal }).catch(() => undefined);
    }
  };
  const done = work();
  return async () => {
    over.abort();
    await done;
  };
}
