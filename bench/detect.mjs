/**
 * npm run bench:detect: how long it takes until /ready knows of a sidecar that died, froze or hung, with
 * the default limits. Prints a Markdown table of medians and maxima.
 */
import { writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { setTimeout as waitMs } from "node:timers/promises";
import { quantile } from "./lib/server.mjs";
import { CHUNK_TIMEOUT_S, dispose, startServer, untilHealth } from "../test/soak/server.mjs";

const POLL_MS = 1;
/** An operator who does not wait for the backoff: SIGHUP after this time. */
const RETRY_MS = 500;

/** @typedef {import("../test/soak/server.mjs").SoakServer} SoakServer */

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

const agent = new Agent({ keepAlive: true });
const server = await startServer({
  sidecar: "fake",
  sidecarCount: 1,
  isSaving: false,
  flags: [],
  onLog: () => undefined,
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
  agent.destroy();
  await dispose(server);
}

/**
 * @param {SoakServer} at
 * @param {string} fault
 * @returns {Promise<number>} milliseconds from the fault until /ready is not 200
 */
async function measure(at, fault) {
  const pid = await untilServing(at);
  let startedMs = performance.now();
  if (fault === "SIGKILL" || fault === "SIGSTOP") {
    process.kill(pid, fault);
  } else {
    await writeFile(join(at.folder, "orders", String(pid)), fault);
    startedMs = performance.now();
    process.kill(pid, "SIGUSR2");
  }
  // A hang shows itself at the next task only.
  if (fault === "hang") void ask(at, "/dalle").catch(() => 0);
  while ((await ask(at, "/ready")) === 200) await waitMs(POLL_MS);
  return performance.now() - startedMs;
}

/**
 * Waits for a sidecar that works, without the patience that restarts have.
 *
 * @param {SoakServer} at
 * @returns {Promise<number>} its pid
 */
async function untilServing(at) {
  const timer = setInterval(() => {
    at.kill("SIGHUP");
  }, RETRY_MS);
  const isWaiting = async () => (await at.health()).sidecars[0]?.state === "backing_off";
  while (await isWaiting()) await waitMs(POLL_MS);
  clearInterval(timer);
  const isIdle = (/** @type {import("../test/soak/server.mjs").Health} */ { ready, queue }) =>
    ready && queue.openJobs === 0;
  const { sidecars } = await untilHealth(at, isIdle);
  return sidecars[0]?.pid ?? Number.NaN;
}

/**
 * @param {SoakServer} at
 * @param {string} path
 * @returns {Promise<number>} the status of the answer
 */
function ask({ url }, path) {
  return new Promise((resolve, reject) => {
    const method = path === "/dalle" ? "POST" : "GET";
    const call = request(`${url}${path}`, { agent, method }, (response) => {
      response.resume();
      response.on("end", () => {
        resolve(response.statusCode ?? 0);
      });
    });
    call.on("error", reject);
    call.end(method === "POST" ? JSON.stringify({ text: "a red circle" }) : undefined);
  });
}

function print(line = "") {
  process.stdout.write(`${line}\n`);
}
