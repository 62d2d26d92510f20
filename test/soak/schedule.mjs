/** What happens when in a soak: all of it follows from the seed. */
import { createRandom } from "./random.mjs";

/** What the fake or real sidecar does on an order; see test/fixtures/faults.py. */
export const ORDERED_FAULTS = /** @type {const} */ ([
  "exit-0",
  "exit-1",
  "gil-held",
  "busy-loop",
  "silence",
  "garbage",
  "oversize",
  "wrong-version",
  "wrong-token",
  "duplicate-result",
  "unknown-task",
  "late-result",
  "device-error",
  "grandchild",
  "stderr-flood",
  "closed-stdin",
]);
/** What is done to it from outside. `SIGHUP` goes to the server: an operator wants fresh sidecars. */
const SIGNALS = /** @type {const} */ (["SIGKILL", "SIGSTOP", "SIGTERM", "SIGHUP"]);
export const FAULTS = /** @type {const} */ ([...ORDERED_FAULTS, ...SIGNALS]);
export const FORMATS = /** @type {const} */ (["png", "jpeg", "webp"]);

/**
 * @typedef {typeof FAULTS[number]} FaultName
 * @typedef {object} Fault
 * @property {number} atMs
 * @property {FaultName} name
 * @property {number} target which sidecar
 *
 * @typedef {object} PlannedRequest
 * @property {number} atMs
 * @property {string} prompt
 * @property {"dalle" | "v1" | "wrong"} kind "wrong": the only right answer is 400
 * @property {number} imageCount
 * @property {number | null} seed
 * @property {typeof FORMATS[number]} format
 * @property {number | null} leaveAfterMs the caller goes away when the answer takes longer
 *
 * @typedef {object} Schedule
 * @property {string} name starts each prompt, so that no two schedules share one
 * @property {number} durationMs
 * @property {readonly PlannedRequest[]} requests
 * @property {readonly Fault[]} faults
 *
 * @typedef {object} Pace how much happens
 * @property {number} requestGapMs mean
 * @property {number} faultGapMs mean
 * @property {number} maxImages of one request
 */

/** @type {Readonly<Record<"fake" | "nano", Pace>>} */
export const PACES = {
  fake: { requestGapMs: 220, faultGapMs: 3_500, maxImages: 20 },
  nano: { requestGapMs: 5_000, faultGapMs: 25_000, maxImages: 4 },
};

/** At the end of each cycle nothing goes wrong for a while, so that health has to become good again. */
export const CYCLE_MS = 40_000;
const QUIET_SHARE = 0.35;
const BURST_REQUESTS = 25;
/** What is left of a quiet time when whatever went wrong before it has to be mended. */
const MENDED_MS = 4_000;

/**
 * @typedef {object} Plan
 * @property {string} name
 * @property {number} seed
 * @property {number} durationMs
 * @property {Pace} pace
 * @property {readonly FaultName[]} faults none: nothing goes wrong
 */

/**
 * @param {Plan} plan
 * @returns {Schedule}
 */
export function createSchedule(plan) {
  const { name, durationMs } = plan;
  return { name, durationMs, requests: planRequests(plan), faults: planFaults(plan) };
}

/** @param {Plan} plan */
function planRequests({ name, seed, durationMs, pace }) {
  const random = createRandom(seed);
  /** @type {PlannedRequest[]} */
  const requests = [];
  const add = (/** @type {number} */ atMs) => {
    requests.push(planRequest(random, pace, atMs, `${name} ${requests.length}`));
  };
  for (let atMs = 0; atMs < durationMs; atMs += -Math.log(1 - random.next()) * pace.requestGapMs) {
    add(atMs);
    // Now and then a crowd, more than the queue takes.
    if (random.chance(0.004)) for (let one = 0; one < BURST_REQUESTS; one += 1) add(atMs);
  }
  return requests;
}

/**
 * @param {import("./random.mjs").Random} random
 * @param {Pace} pace
 * @param {number} atMs
 * @param {string} prompt
 * @returns {PlannedRequest}
 */
function planRequest(random, { maxImages }, atMs, prompt) {
  /** @type {PlannedRequest["kind"]} */
  const kind = random.chance(0.03) ? "wrong" : random.chance(0.5) ? "dalle" : "v1";
  const most = kind === "v1" ? Math.min(10, maxImages) : maxImages;
  const few = random.integer(2, 4);
  const imageCount = random.pick([1, 1, 1, few, Math.min(9, most), random.integer(1, most)]);
  return {
    atMs,
    prompt,
    kind,
    imageCount,
    seed: random.chance(0.6) ? random.integer(0, 2 ** 31) : null,
    format: kind === "v1" ? random.pick(FORMATS) : "jpeg",
    leaveAfterMs: random.chance(0.12) ? random.between(0, 500) : null,
  };
}

/** @param {Plan} plan */
function planFaults({ seed, durationMs, pace, faults: [first, ...others] }) {
  if (first === undefined) return [];
  const random = createRandom(seed ^ 0x5f5f5f5f);
  const cycleMs = Math.min(CYCLE_MS, durationMs);
  /** @type {Fault[]} */
  const faults = [];
  const gap = () => random.between(0.3, 1.7) * pace.faultGapMs;
  for (let atMs = gap(); atMs < durationMs; atMs += gap()) {
    // Drawn even when it is not used: a longer soak begins like a shorter one.
    const fault = { atMs, name: random.pick([first, ...others]), target: random.integer(0, 63) };
    if (atMs % cycleMs <= (1 - QUIET_SHARE) * cycleMs) faults.push(fault);
  }
  return faults;
}

/**
 * The times in a schedule at whose end the server must have been ready, from and until.
 *
 * @param {number} durationMs
 * @returns {readonly (readonly [number, number])[]}
 */
export function listMendedTimes(durationMs) {
  const count = Math.floor(durationMs / CYCLE_MS);
  const ends = Array.from({ length: count }, (_, index) => (index + 1) * CYCLE_MS);
  return ends.map((endMs) => [endMs - MENDED_MS, endMs]);
}
