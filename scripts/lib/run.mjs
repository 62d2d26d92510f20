/** Runs child programs for the scripts: quietly with their output kept, or in full view. */
import { spawn } from "node:child_process";

const STILL_RUNNING_MS = 15_000;
const SHOWN_LINES = 80;
const FATAL_SIGNALS = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

/**
 * @typedef {object} RunOptions
 * @property {string} cwd
 * @property {boolean} [isShown] the child writes to our own output; else what it wrote is kept
 * @property {(elapsedMs: number) => void} [onStillRunning] called now and then while the child runs
 *
 * @typedef {{ code: number, output: string }} RunResult code 127: the program could not be started
 */

/**
 * Runs a program to its end. A fatal signal of this process is handed on to the child, and ends this process once
 * the child has ended.
 *
 * @param {readonly [string, ...string[]]} command
 * @param {RunOptions} options
 * @returns {Promise<RunResult>}
 */
export function run([file, ...args], { cwd, isShown = false, onStillRunning }) {
  return new Promise((resolve) => {
    const started = performance.now();
    /** @param {NodeJS.Signals} signal */
    const onSignal = (signal) => {
      child.kill(signal);
      child.once("close", () => {
        process.kill(process.pid, signal);
      });
    };
    // Before the child exists: a signal that comes while it starts is handled right after.
    for (const signal of FATAL_SIGNALS) process.once(signal, onSignal);
    const child = spawn(file, args, {
      cwd,
      stdio: isShown ? "inherit" : ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (/** @type {string} */ text) => {
        output += text;
      });
    }
    const timer = setInterval(
      () => onStillRunning?.(performance.now() - started),
      STILL_RUNNING_MS,
    );
    /** @param {number} code */
    const finish = (code) => {
      clearInterval(timer);
      for (const signal of FATAL_SIGNALS) process.off(signal, onSignal);
      resolve({ code, output });
    };
    child.on("error", (error) => {
      output += `${error.message}\n`;
      finish(127);
    });
    child.on("close", (code) => {
      finish(code ?? 1);
    });
  });
}

/**
 * The last lines of what a child wrote.
 *
 * @param {string} output
 */
export function tailOf(output) {
  return output.trimEnd().split("\n").slice(-SHOWN_LINES).join("\n");
}

/**
 * @param {number} elapsedMs
 * @returns {string} such as "12 s" or "0.4 s"
 */
export function formatSeconds(elapsedMs) {
  const seconds = elapsedMs / 1000;
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${seconds.toFixed(0)} s`;
}
