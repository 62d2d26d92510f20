/**
 * npm run bench:detect: how long it takes until /ready knows of a sidecar that died, froze or hung, with
 * the default limits. Prints a Markdown table of medians and maxima.
 */
import { setTimeout as waitMs } from "node:timers/promises";
import { BuiltServer } from "../test/harness/built-server.mjs";
import { fakeSidecar } from "../test/harness/sidecar-program.mjs";
import { START_LIMIT_MS } from "../test/harness/until.mjs";
import { quantile } from "./measure.mjs";

const POLL_MS = 1;
/** An operator who does not wait for the backoff: SIGHUP after this time. */
const RETRY_MS = 500;
/** The only limit that is not the default: a hang is not worth five minutes of a bench. */
const CHUNK_TIMEOUT_S = 3;

/** @type {readonly { name: string, fault: string, repeats: number, limit: string, budgetMs: number }[]} */
const CASES = [
  { name: "ended by SIGKILL", fault: "SIGKILL", repeats: 21, limit: "50 ms", budgetMs: 0 },
  { name: "exited with 1", fault: "exit-1", repeats: 21, limit: "50 ms", budgetMs: 0 },
  { name: "stopped by SIGSTOP", fault: "SIGSTOP", repeats: 7, limit: "4000 ms", budgetMs: 0 },
  { name: "lock of Python held", fault: "gil-held", repeats: 7, limit: "4000 ms", budgetMs: 0 },
  {
    name: `compute hangs, after the budget of ${CHUNK_TIMEOUT_S} s`,
    fault: "hang",
    repeats: 7,
    limit: "1000 ms",
    budgetMs: CHUNK_TIMEOUT_S * 1000,
  },
];

const server = await BuiltServer.start({
  program: fakeSidecar("--chunks 4 --step-ms 8"),
  // As often as it is broken here, its restarts would be stopped.
  flags: ["--chunk_timeout", String(CHUNK_TIMEOUT_S), "--breaker_failures", "1000"],
});
try {
  print("| what happened | noticed, median | longest | limit | repeats |");
  print("| --- | ---: | ---: | ---: | ---: |");
  for (const { name, fault, repeats, limit, budgetMs } of CASES) {
    const times = [];
    for (let count = 0; count < repeats; count += 1) {
      times.push((await measure(server, fault)) - budgetMs);
    }
    const [median, longest] = [quantile(times, 0.5), Math.max(...times)].map((ms) => ms.toFixed(0));
    print(`| ${name} | ${median} ms | ${longest} ms | ${limit} | ${repeats} |`);
  }
} finally {
  await server.dispose();
}

/**
 * @param {BuiltServer} at
 * @param {string} fault
 * @returns {Promise<number>} milliseconds from the fault until /ready is not 200
 */
async function measure(at, fault) {
  const pid = await untilServing(at);
  const startedMs = performance.now();
  if (fault === "SIGKILL" || fault === "SIGSTOP") process.kill(pid, fault);
  else at.orders.give(pid, fault);
  // A hang shows itself at the next task only.
  if (fault === "hang") void at.post({ text: "a red circle" }).catch(() => undefined);
  while (await isReady(at)) await waitMs(POLL_MS);
  return performance.now() - startedMs;
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

/** @param {BuiltServer} at */
async function isReady({ url }) {
  const response = await fetch(`${url}/ready`);
  await response.text();
  return response.ok;
}

function print(line = "") {
  process.stdout.write(`${line}\n`);
}
