/**
 * npm run bench: what a request costs on this machine. Flags of the server may follow, such as
 * `npm run bench -- --model_version Mini`. Prints a Markdown table; every time is a median of repeats.
 */
import { cpus } from "node:os";
import {
  quantile,
  readHealth,
  readResidentBytes,
  startNoOpServer,
  startServer,
  timeRequest,
} from "./lib/server.mjs";

const STARTS = 5;
const IMAGE_COUNTS = [1, 4, 9];
const REPEATS = 7;
const OVERHEAD_REPEATS = 200;
const OVERHEAD_WARM_UP = 100;
const IMAGE_TOKENS = 256;
const MIB = 2 ** 20;

const flags = process.argv.slice(2);
let server = await startServer(flags);
const starts = [server];
while (starts.length < STARTS) {
  await server.stop();
  server = await startServer(flags);
  starts.push(server);
}
const listenTimes = starts.map(({ listenMs }) => listenMs);
const readyTimes = starts.map(({ readyMs }) => readyMs);
const health = await readHealth(server);
const side = Number(health.sidecar.imageSize.split("x")[0]);
/** @type {Map<number, number>} */
const secondsByCount = new Map();
for (const count of IMAGE_COUNTS) {
  await timeRequest(server, count, 0);
  const times = [];
  for (let seed = 1; seed <= REPEATS; seed += 1) {
    times.push(await timeRequest(server, count, seed * 100));
  }
  secondsByCount.set(count, quantile(times, 0.5) / 1000);
}
const serverBytes = await readResidentBytes(server.pid);
const sidecarBytes = await readResidentBytes(health.sidecar.pid);
await server.stop();

const noOp = await startNoOpServer(side);
for (let seed = 0; seed < OVERHEAD_WARM_UP; seed += 1) await timeRequest(noOp, 1, seed);
const overheads = [];
for (let seed = 0; seed < OVERHEAD_REPEATS; seed += 1) {
  overheads.push(await timeRequest(noOp, 1, seed));
}
await noOp.stop();

const one = secondsByCount.get(1) ?? Number.NaN;
const overhead = quantile(overheads, 0.5);
print(
  `DALL-E ${health.model}, ${side}x${side} pixels, ${health.sidecar.device}, ${cpus().length} cores`,
);
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

function print(line = "") {
  process.stdout.write(`${line}\n`);
}
