/** Runs a schedule against a server: requests, faults, and questions whether it is ready, all at the same time. */
import { setTimeout as waitMs } from "node:timers/promises";
import { ask } from "../harness/health.mjs";
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
 * @typedef {object} Load what became of a schedule
 * @property {Outcome[]} outcomes
 * @property {string[]} faults that happened
 * @property {number} probes
 * @property {number} readyProbes
 * @property {string[]} problems
 *
 * @typedef {object} Probe one question whether it is ready, and the request after a yes
 * @property {number} atMs
 * @property {number} endMs
 * @property {Outcome | null} outcome null: it was not ready
 */

/** @type {Omit<PlannedRequest, "prompt" | "seed">} */
const PROBE = { atMs: 0, kind: "dalle", imageCount: 1, format: "jpeg", leaveAfterMs: null };

/**
 * Resolves when every request has ended.
 *
 * @param {BuiltServer} server
 * @param {Schedule} schedule
 * @param {boolean} isColoured see `call`
 * @returns {Promise<Load>}
 */
export async function runLoad(server, schedule, isColoured) {
  const run = new Run(server, schedule, isColoured);
  const [outcomes, faults, probes] = await Promise.all([
    run.sendAll(),
    run.inflictAll(),
    run.probeAll(),
  ]);
  const probed = probes.flatMap(({ outcome }) => outcome ?? []);
  return {
    outcomes: [...outcomes, ...probed],
    faults: faults.filter(({ hasHappened }) => hasHappened).map((fault) => fault.name),
    probes: probes.length,
    readyProbes: probed.length,
    problems: [
      ...findBrokenPromises(probes, faults),
      ...findOutages(probes, schedule.durationMs).map((outage) => `${schedule.name}: ${outage}`),
    ],
  };
}

/** A schedule that is being run; its three parts run at the same time. */
class Run {
  #startMs = performance.now();
  #server;
  #schedule;
  #isColoured;

  /**
   * @param {BuiltServer} server
   * @param {Schedule} schedule
   * @param {boolean} isColoured
   */
  constructor(server, schedule, isColoured) {
    this.#server = server;
    this.#schedule = schedule;
    this.#isColoured = isColoured;
  }

  async sendAll() {
    const outcomes = [];
    for (const planned of this.#schedule.requests) {
      await this.#until(planned.atMs);
      outcomes.push(this.#send(planned));
    }
    return Promise.all(outcomes);
  }

  async inflictAll() {
    const faults = [];
    for (const fault of this.#schedule.faults) {
      await this.#until(fault.atMs);
      const atMs = this.#nowMs();
      faults.push({ name: fault.name, atMs, hasHappened: await inflict(this.#server, fault) });
    }
    return faults;
  }

  /** Asks whether the server is ready, and sends a request whenever it is. */
  async probeAll() {
    /** @type {Probe[]} */
    const probes = [];
    while (this.#nowMs() <= this.#schedule.durationMs) {
      const atMs = this.#nowMs();
      const { status } = await ask(`${this.#server.url}/ready`);
      const seed = probes.length + 1;
      const request = { ...PROBE, prompt: `${this.#schedule.name} probe ${seed}`, seed };
      const outcome = status === 200 ? await this.#send(request) : null;
      probes.push({ atMs, endMs: this.#nowMs(), outcome });
      await waitMs(PROBE_GAP_MS);
    }
    return probes;
  }

  /** @param {PlannedRequest} planned */
  #send(planned) {
    return call(this.#server.url, planned, this.#isColoured);
  }

  #nowMs() {
    return performance.now() - this.#startMs;
  }

  /** @param {number} atMs */
  async #until(atMs) {
    await waitMs(Math.max(0, atMs - this.#nowMs()));
  }
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
