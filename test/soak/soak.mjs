/**
 * npm run soak: random requests and random faults against a real server, and what must hold all the
 * time. It prints its seed; `npm run soak -- --seed SEED` repeats the same requests and faults.
 * `npm run soak -- --help` lists the options.
 */
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { PYTHON } from "../harness/paths.mjs";
import { runRound } from "./round.mjs";
import { FAULTS } from "./schedule.mjs";

const HELP = `npm run soak -- [options] [-- flags of the server]
  --minutes N      how long there is load, in all; 10 unless given
  --seed N         repeats the schedule of an earlier soak
  --faults LIST    all, none, or some of: ${FAULTS.join(", ")}
  --sidecar NAME   fake (unless given) or nano: the real sidecar with the embedded checkpoint
  --busy N         processes beside it that only use the processor; 0 unless given
  --compiling N    processes beside it that compile with JAX all the time; 0 unless given
`;
/** A function that is new each time, so that nothing is found in a cache. */
const COMPILING = `
import jax, jax.numpy as jnp
number = 0
while True:
    number += 1
    def layers(x):
        for step in range(60):
            x = jnp.tanh(x @ x.T + number + step) @ x
        return x
    jax.jit(layers)(jnp.ones((32, 32))).block_until_ready()
`;
const MIB = 2 ** 20;
const WARM_UP_SHARE = 0.2;
/** Until then the memory of any server grows, with what it has used for the first time. */
const MIN_WARM_UP_MS = 12_000;
const MEMORY_TOLERANCE = 0.1;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: String(randomInt(2 ** 31)) },
    faults: { type: "string", default: "all" },
    sidecar: { type: "string", default: "fake" },
    busy: { type: "string", default: "0" },
    compiling: { type: "string", default: "0" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  print(HELP);
  process.exit(0);
}
const faults = readFaults(values.faults);
const seed = Number(values.seed);
const sidecar = values.sidecar === "nano" ? "nano" : "fake";
const roundMs = (Number(values.minutes) * 60_000) / 2;
const warmUpMs = Math.max(WARM_UP_SHARE * roundMs, Math.min(MIN_WARM_UP_MS, roundMs / 2));

print(`seed ${seed}, ${values.minutes} minutes, sidecar ${sidecar}, faults: ${values.faults}`);
const neighbours = [
  ...startNeighbours(Number(values.busy), process.execPath, ["-e", "for (;;);"]),
  ...startNeighbours(Number(values.compiling), PYTHON, ["-c", COMPILING]),
];
let problemCount = 0;
try {
  // Without saving a caller who leaves ends the request, with it the images are still wanted.
  for (const [index, isSaving] of [false, true].entries()) {
    const report = await runRound({
      name: `soak ${index}`,
      seed: seed + 10 * index,
      warmUpMs,
      durationMs: roundMs - warmUpMs,
      sidecar,
      sidecarCount: index + 1,
      isSaving,
      faults,
      flags: positionals,
      memoryTolerance: MEMORY_TOLERANCE,
    });
    printReport(report);
    problemCount += report.problems.length;
  }
} finally {
  for (const neighbour of neighbours) neighbour.kill("SIGKILL");
}
print(problemCount === 0 ? "everything held" : `${problemCount} problems with seed ${seed}`);
process.exitCode = problemCount === 0 ? 0 : 1;

/**
 * @param {number} count
 * @param {string} program
 * @param {readonly string[]} args
 */
function startNeighbours(count, program, args) {
  return Array.from({ length: count }, () => spawn(program, args, { stdio: "ignore" }));
}

/** @param {import("./round.mjs").RoundReport} report */
function printReport({ options, load, spawns, warm, end, savedImages, problems }) {
  const { outcomes, probes, readyProbes } = load;
  const images = outcomes.reduce((sum, outcome) => sum + outcome.images, 0);
  const saving = savedImages === null ? "not saving" : `saving: ${savedImages} files`;
  print();
  print(`${options.sidecarCount} sidecar(s), ${saving}`);
  print(`  requests     ${outcomes.length}: ${countAll(outcomes.map(({ code }) => code))}`);
  print(`  images       ${images}`);
  print(`  faults       ${load.faults.length}: ${countAll(load.faults)}`);
  print(`  spawns       ${spawns}`);
  print(`  ready        ${readyProbes} of ${probes} times`);
  print(`  memory       ${mib(warm.rssBytes)} MiB when warm, ${mib(end.rssBytes)} MiB at the end`);
  print(`  descriptors  ${warm.descriptors} when warm, ${end.descriptors} at the end`);
  for (const problem of problems) print(`  PROBLEM      ${problem}`);
}

/** @param {readonly string[]} names */
function countAll(names) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const sorted = [...counts].toSorted(([, one], [, other]) => other - one);
  return sorted.map(([name, count]) => `${count} ${name}`).join(", ");
}

/** @param {number} bytes */
function mib(bytes) {
  return (bytes / MIB).toFixed(1);
}

/** @param {string} text */
function readFaults(text) {
  if (text === "all") return FAULTS;
  const names = text === "none" ? [] : text.split(",");
  return names.map((name) => {
    const found = FAULTS.find((one) => one === name);
    if (found !== undefined) return found;
    print(HELP);
    throw new Error(`there is no fault "${name}"`);
  });
}

function print(line = "") {
  process.stdout.write(`${line}\n`);
}
