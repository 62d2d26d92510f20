/**
 * npm run bench: what a request costs on this machine. Flags of the server may follow, such as
 * `npm run bench -- --model_version Mini`. Prints a Markdown table; every time is a median of repeats.
 */
import { cpus } from "node:os";
import { BuiltServer } from "../test/harness/built-server.mjs";
import { readResidentBytes } from "../test/harness/procfs.mjs";
import { fakeSidecar } from "../test/harness/sidecar-program.mjs";
import { quantile, timeRequest } from "./measure.mjs";

const STARTS = 5;
const IMAGE_COUNTS = [1, 4, 9];
const REPEATS = 7;
const OVERHEAD_REPEATS = 200;
const OVERHEAD_WARM_UP = 100;
const IMAGE_TOKENS = 256;
const MIB = 2 ** 20;

/** @typedef {{ server: BuiltServer, listenMs: number, readyMs: number }} Start */

const starts = await timeStarts(process.argv.slice(2));
const [{ server }] = starts;
const { model, sidecar } = await server.health();
const side = Number(sidecar.imageSize?.split("x")[0]);
const secondsByCount = await timeImages(server);
const serverBytes = readResidentBytes(server.pid);
const sidecarBytes = readResidentBytes(sidecar.pid ?? Number.NaN);
await end(server);
const overheads = await timeOverhead();

const one = secondsByCount.get(1) ?? Number.NaN;
const overhead = quantile(overheads, 0.5);
const listenTimes = starts.map(({ listenMs }) => listenMs);
const readyTimes = starts.map(({ readyMs }) => readyMs);
print(`DALL-E ${model}, ${side}x${side} pixels, ${String(sidecar.device)}, ${cpus().length} cores`);
print();
print(
  "| images | seconds a request | seconds an image | image tokens a second | against 1 image |",
);
print("| ---: | ---: | ---: | ---: | ---: |");
for (const [count, seconds] of secondsByCount) {
  const tokens = (count * IMAGE_TOKENS) / seconds;
  const ratio = (seconds / count / one).toFixed(2);
  print(
    `| ${count} | ${seconds.toFixed(3)} | ${(seconds / count).toFixed(3)} | ${tokens.toFixed(0)} | ${ratio} |`,
  );
}
print();
print("| what | value |");
print("| --- | ---: |");
print(
  `| start to open port, median of ${STARTS} starts | ${quantile(listenTimes, 0.5).toFixed(0)} ms |`,
);
print(
  `| start to ready, median of ${STARTS} starts | ${(quantile(readyTimes, 0.5) / 1000).toFixed(1)} s |`,
);
print(`| the slowest of them | ${(Math.max(...readyTimes) / 1000).toFixed(1)} s |`);
print(
  `| server overhead a request, no-op sidecar, median of ${OVERHEAD_REPEATS} | ${overhead.toFixed(2)} ms |`,
);
print(`| the same, 95th percentile | ${quantile(overheads, 0.95).toFixed(2)} ms |`);
print(`| overhead against one real image | ${((100 * overhead) / 1000 / one).toFixed(1)} % |`);
print(`| memory of the server | ${(serverBytes / MIB).toFixed(0)} MiB |`);
print(`| memory of the sidecar | ${(sidecarBytes / MIB).toFixed(0)} MiB |`);

/**
 * @param {readonly string[]} flags
 * @returns {Promise<[Start, ...Start[]]>} the last one first: its server runs
 */
async function timeStarts(flags) {
  /** @type {[Start, ...Start[]]} */
  const times = [await timeStart(flags)];
  while (times.length < STARTS) {
    await end(times[0].server);
    times.unshift(await timeStart(flags));
  }
  return times;
}

/**
 * @param {readonly string[]} flags
 * @returns {Promise<Start>}
 */
async function timeStart(flags) {
  const startedMs = performance.now();
  const started = await BuiltServer.start({ flags });
  const listenMs = performance.now() - startedMs;
  await started.untilReady();
  return { server: started, listenMs, readyMs: performance.now() - startedMs };
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

function print(line = "") {
  process.stdout.write(`${line}\n`);
}
