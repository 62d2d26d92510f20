/**
 * The set-up: everything a fresh clone needs, each step skipped while its stamp in .setup/ says it is done.
 *
 *     node scripts/setup.mjs [--tests] [--verbose]
 *
 * Settings: DALLE_PYTHON (which Python), DALLE_SETUP_JAX (cpu or cuda), DALLE_SETUP_VERBOSE=1 (show all output).
 */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { takeLock } from "./lib/lock.mjs";
import { describeNodeProblem } from "./lib/node-version.mjs";
import { formatSeconds, run, tailOf } from "./lib/run.mjs";
import { readStamp, writeStamp } from "./lib/stamps.mjs";
import { listSteps } from "./lib/steps.mjs";

/** @typedef {import("./lib/steps.mjs").Step} Step */

/** The folder of the package. */
export const packageRoot = fileURLToPath(new URL("..", import.meta.url));

/** @param {string} line */
function say(line) {
  // Beside the output of the server and the tests, not in it.
  process.stderr.write(`set-up: ${line}\n`);
}

/**
 * @param {string} root
 * @param {string} name
 */
function stampFile(root, name) {
  return join(root, ".setup", `${name}.stamp`);
}

/**
 * @param {string} root
 * @param {Step} step
 */
function needsRun(root, step) {
  return readStamp(stampFile(root, step.name)) !== step.hash || !existsSync(step.product);
}

/**
 * @param {string} root
 * @param {Step} step
 * @param {boolean} isVerbose
 * @throws {Error} when its command fails
 */
async function runStep(root, step, isVerbose) {
  for (const name of [step.name, ...(step.undoes ?? [])]) {
    rmSync(stampFile(root, name), { force: true });
  }
  const started = performance.now();
  const command = step.prepare();
  say(`${step.title} ...`);
  const { code, output } = await run(command, {
    cwd: root,
    isShown: isVerbose,
    onStillRunning: (elapsedMs) => {
      say(`${step.title}: still running after ${formatSeconds(elapsedMs)}`);
    },
  });
  if (code !== 0) {
    const shown = isVerbose ? "" : `\n${tailOf(output)}`;
    throw new Error(`${step.title} failed with exit code ${code}.${shown}`);
  }
  for (const { name, hash } of [step, ...(step.completes ?? [])]) {
    writeStamp(stampFile(root, name), hash);
  }
  say(`${step.title}: done in ${formatSeconds(performance.now() - started)}`);
}

/**
 * Brings everything up to date. Costs some ten milliseconds when there is nothing to do.
 *
 * @param {{ forTests: boolean, root?: string, isVerbose?: boolean }} options
 * @throws {Error} with a sentence that says what to do
 */
export async function setUp({ forTests, root = packageRoot, isVerbose = false }) {
  const nodeProblem = describeNodeProblem(process.versions.node);
  if (nodeProblem !== null) throw new Error(nodeProblem);
  if (listSteps({ root, forTests }, process.env).every((step) => !needsRun(root, step))) return;
  const release = await takeLock(join(root, ".setup", "lock"), (holder) => {
    say(`waiting for another set-up of this folder (process ${holder}) ...`);
  });
  try {
    // Listed again: the process that held the lock may have done it all, and sources may have changed.
    for (const step of listSteps({ root, forTests }, process.env)) {
      if (needsRun(root, step)) await runStep(root, step, isVerbose);
    }
  } finally {
    release();
  }
}

/**
 * Sets up for a command line tool: a failure is written to stderr and ends the process.
 *
 * @param {{ forTests: boolean, isVerbose?: boolean }} options
 */
export async function setUpOrExit({ forTests, isVerbose = false }) {
  try {
    await setUp({ forTests, isVerbose: isVerbose || process.env["DALLE_SETUP_VERBOSE"] === "1" });
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    process.exit(1);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const flags = process.argv.slice(2);
  await setUpOrExit({
    forTests: flags.includes("--tests"),
    isVerbose: flags.includes("--verbose"),
  });
}
