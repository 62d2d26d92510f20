/**
 * npm run bench: what a request costs on this machine. Flags of the server may follow, such as
 * `npm run bench -- --model_version Mini`. Prints a Markdown table; every time is a median of repeats.
 */
import { cpus } from "node:os";
import { BuiltServer } from "../test/harness/built-server.mjs";
import { readResidentBytes } from "../test/harness/procfs.mjs";
import { fakeSidecar } from "../test/harness/sidecar-program.mjs";
import { printTable, quantile, timeRequest } from "./measure.mjs";

const STARTS = 5;
const IMAGE_COUNTS = [1, 4, 9];
const REPEATS = 7;
const OVERHEAD_REPEATS = 200;
const OVERHEAD_WARM_UP = 100;
const IMAGE_TOKENS = 256;
const MIB = 2 ** 20;

/** @type {number[]} */
const listenTimes = [];
/** @type {number[]} */
const readyTimes = [];
let server = await start();
while (readyTimes.length < STARTS) {
  await end(server);
  server = await start();
}
const { model, sidecar } = await server.health();
const side = Number(sidecar.imageSize?.split("x")[0]);
const secondsByCount = await timeImages(server);
const serverBytes = readResidentBytes(server.pid);
const sidecarBytes = readResidentBytes(sidecar.pid ?? Number.NaN);
await end(server);
const overheads = await timeOverhead();

const one = secondsByCount.get(1) ?? Number.NaN;
const overhead = quantile(overheads, 0.5);
const imageRows = [...secondsByCount].map(([count, seconds]) => {
  const each = seconds / count;
  const tokens = (IMAGE_TOKENS / each).toFixed(0);
  return [String(count), seconds.toFixed(3), each.toFixed(3), tokens, (each / one).toFixed(2)];
});
const machine = `${String(sidecar.device)}, ${cpus().length} cores`;
process.stdout.write(`DALL-E ${model}, ${side}x${side} pixels, ${machine}\n\n`);
printTable([
  ["images", "seconds a request", "seconds an image", "image tokens a second", "against 1 image"],
  ...imageRows,
]);
printTable([
  ["what", "value"],
  [`start to open port, median of ${STARTS} starts`, ms(quantile(listenTimes, 0.5), 0)],
  [`start to ready, median of ${STARTS} starts`, seconds(quantile(readyTimes, 0.5))],
  ["the slowest of them", seconds(Math.max(...readyTimes))],
  [`server overhead a request, no-op sidecar, median of ${OVERHEAD_REPEATS}`, ms(overhead, 2)],
  ["the same, 95th percentile", ms(quantile(overheads, 0.95), 2)],
  ["overhead against one real image", `${((100 * overhead) / 1000 / one).toFixed(1)} %`],
  ["memory of the server", mib(serverBytes)],
  ["memory of the sidecar", mib(sidecarBytes)],
]);

/** Starts the server with the flags of the command line, and notes how long it took. */
async function start() {
  const startedMs = performance.now();
  const started = await BuiltServer.start({ flags: process.argv.slice(2) });
  listenTimes.push(performance.now() - startedMs);
  await started.untilReady();
  readyTimes.push(performance.now() - startedMs);
  return started;
}

/** @param {BuiltServer} running */
async function end(running) {
  await running.stop();
  await running.dispose();
}

/**
 * @param {BuiltServer} running
 * @returns {Promise<Map<number, number>>} median seconds of a request, by its number of images
 */
async function timeImages({ url }) {
  /** @type {Map<number, number>} */
  const medians = new Map();
  for (const count of IMAGE_COUNTS) {
    await timeRequest(url, count, 0);
    const times = [];
    for (let seed = 1; seed <= REPEATS; seed += 1) {
      times.push(await timeRequest(url, count, seed * 100));
    }
    medians.set(count, quantile(times, 0.5) / 1000);
  }
  return medians;
}

/** Times requests to a server whose sidecar answers at once with one-colour images: what is left is the server. */
async function timeOverhead() {
  const program = fakeSidecar(`--chunks 0 --width ${side} --height ${side}`);
  const noOp = await BuiltServer.start({ program, flags: ["--log_level", "info"] });
  await noOp.untilReady();
  for (let seed = 0; seed < OVERHEAD_WARM_UP; seed += 1) await timeRequest(noOp.url, 1, seed);
  const times = [];
  for (let seed = 0; seed < OVERHEAD_REPEATS; seed += 1) {
    times.push(await timeRequest(noOp.url, 1, seed));
  }
  await end(noOp);
  return times;
}

/**
 * @param {number} time in milliseconds
 * @param {number} digits
 */
function ms(time, digits) {
  return `${time.toFixed(digits)} ms`;
}

/** @param {number} time in milliseconds */
function seconds(time) {
  return `${(time / 1000).toFixed(1)} s`;
}

/** @param {number} bytes */
function mib(bytes) {
  return `${(bytes / MIB).toFixed(0)} MiB`;
}
