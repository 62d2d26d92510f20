/**
 * npm run bench:detect: how long it takes until /ready knows of a sidecar that died, froze or hung, with
 * the default limits. Prints a Markdown table of medians and maxima.
 */
import { setTimeout as waitMs } from "node:timers/promises";
import { BuiltServer } from "../test/harness/built-server.mjs";
import { exchange } from "../test/harness/http.mjs";
import { fakeSidecar } from "../test/harness/sidecar-program.mjs";
import { START_LIMIT_MS } from "../test/harness/until.mjs";
import { printTable, quantile } from "./measure.mjs";

const POLL_MS = 1;
/** An operator who does not wait for the backoff: SIGHUP after this time. */
const RETRY_MS = 500;
/** The only limit that is not the default: a hang is not worth five minutes of a bench. */
const CHUNK_TIMEOUT_S = 3;

/** What happened, the fault, how often, and the limit in milliseconds that is said in docs/operations.md. */
const CASES = /** @type {const} */ ([
  ["ended by SIGKILL", "SIGKILL", 21, 50],
  ["exited with 1", "exit-1", 21, 50],
  ["stopped by SIGSTOP", "SIGSTOP", 7, 4000],
  ["lock of Python held", "gil-held", 7, 4000],
  [`compute hangs, after the budget of ${CHUNK_TIMEOUT_S} s`, "hang", 7, 1000],
]);

const server = await BuiltServer.start({
  program: fakeSidecar("--chunks 4 --step-ms 8"),
  // As often as it is broken here, its restarts would be stopped.
  flags: ["--chunk_timeout", String(CHUNK_TIMEOUT_S), "--breaker_failures", "1000"],
});
try {
  /** @type {string[][]} */
  const rows = [];
  for (const [name, fault, repeats, limitMs] of CASES) {
    const times = [];
    for (let count = 0; count < repeats; count += 1) times.push(await measure(server, fault));
    const found = [quantile(times, 0.5), Math.max(...times), limitMs].map(
      (ms) => `${ms.toFixed(0)} ms`,
    );
    rows.push([name, ...found, String(repeats)]);
  }
  printTable([["what happened", "detected, median", "longest", "limit", "repeats"], ...rows]);
} finally {
  await server.dispose();
}

/**
 * @param {BuiltServer} at
 * @param {string} fault
 * @returns {Promise<number>} milliseconds from the fault, or the end of its budget, until /ready is not 200
 */
async function measure(at, fault) {
  const pid = await untilServing(at);
  const startedMs = performance.now();
  if (fault === "SIGKILL" || fault === "SIGSTOP") process.kill(pid, fault);
  else at.orders.give(pid, fault);
  // A hang shows itself at the next task only.
  if (fault === "hang") void at.post({ text: "a red circle" }).catch(() => undefined);
  while ((await exchange(`${at.url}/ready`)).status === 200) await waitMs(POLL_MS);
  const budgetMs = fault === "hang" ? CHUNK_TIMEOUT_S * 1000 : 0;
  return performance.now() - startedMs - budgetMs;
}

/**
 * Waits for a sidecar that works, without the patience that restarts have.
 *
 * @param {BuiltServer} at
 * @returns {Promise<number>} its pid
 */
async function untilServing(at) {
  const timer = setInterval(() => {
    at.kill("SIGHUP");
  }, RETRY_MS);
  const isWaiting = async () => (await at.health()).sidecars[0]?.state === "backing_off";
  while (await isWaiting()) await waitMs(POLL_MS);
  clearInterval(timer);
  const { sidecars } = await at.untilHealth(
    ({ ready, queue }) => ready && queue.openJobs === 0,
    START_LIMIT_MS,
  );
  return sidecars[0]?.pid ?? Number.NaN;
}
