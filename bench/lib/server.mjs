/** Starts the built server as a user would, and measures it from outside: over HTTP and from /proc. */
import { spawn } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { setTimeout as waitMs } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = join(ROOT, "dist", "main.js");
const PYTHON = join(ROOT, ".venv", "bin", "python");
const NO_OP_SIDECAR = join(ROOT, "test", "fixtures", "fake_sidecar.py");
const POLL_MS = 20;

const agent = new Agent({ keepAlive: true });

/**
 * @typedef {object} BenchServer
 * @property {string} url
 * @property {number} pid
 * @property {number} listenMs from the start of the process to the open port
 * @property {number} readyMs from the start of the process to ready
 * @property {() => Promise<void>} stop
 */

/** @typedef {{ model: string, sidecar: { pid: number, device: string, imageSize: string } }} Health */

/**
 * Starts a server on a free port and waits until it is ready.
 *
 * @param {readonly string[]} flags
 * @returns {Promise<BenchServer>}
 */
export async function startServer(flags) {
  const started = performance.now();
  const args = [MAIN, "--port", "0", "--host", "127.0.0.1", ...flags];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  /** @type {Promise<number>} */
  const listening = new Promise((resolve, reject) => {
    createInterface(child.stdout).on("line", (line) => {
      /** @type {unknown} */
      const parsed = JSON.parse(line);
      const record = /** @type {{ port?: number }} */ (parsed);
      if (record.port !== undefined) resolve(record.port);
    });
    child.once("exit", (code) => {
      reject(new Error(`the server ended with code ${String(code)}`));
    });
  });
  const port = await listening;
  const url = `http://127.0.0.1:${port}`;
  const listenMs = performance.now() - started;
  while (!(await fetch(`${url}/ready`)).ok) await waitMs(POLL_MS);
  const readyMs = performance.now() - started;
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
  };
  return { url, pid: child.pid ?? 0, listenMs, readyMs, stop };
}

/**
 * Starts a server whose sidecar answers at once with one-colour pictures: what is left is the server.
 *
 * @param {number} side pixels
 * @returns {Promise<BenchServer>}
 */
export async function startNoOpServer(side) {
  const folder = await mkdtemp(join(tmpdir(), "dalle-bench-"));
  const python = join(folder, "python");
  const options = `--chunks 0 --width ${side} --height ${side}`;
  // Takes the place of `python -m sidecar`.
  const script = `#!/bin/sh\nshift 2\nexec "${PYTHON}" "${NO_OP_SIDECAR}" ${options} "$@"\n`;
  await writeFile(python, script);
  await chmod(python, 0o700);
  const flags = ["--sidecar_python", python, "--checkpoint", folder, "--cache_dir", "none"];
  const server = await startServer([...flags, "--log_level", "info"]);
  const stop = async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  };
  return { ...server, stop };
}

/**
 * Posts one sentence and returns the time to the last byte of the answer.
 *
 * @param {BenchServer} server
 * @param {number} imageCount
 * @param {number} seed
 * @returns {Promise<number>} milliseconds
 */
export async function timeRequest(server, imageCount, seed) {
  const started = performance.now();
  const answer = await post(
    `${server.url}/dalle`,
    JSON.stringify({ text: "a red circle", num_images: imageCount, seed }),
  );
  /** @type {unknown} */
  const parsed = JSON.parse(answer);
  const { generatedImages } = /** @type {{ generatedImages?: string[] }} */ (parsed);
  if (generatedImages?.length !== imageCount) {
    throw new Error(`asked for ${imageCount} images, got ${answer.slice(0, 200)}`);
  }
  return performance.now() - started;
}

/**
 * Plain node:http, because `fetch` itself takes a noticeable part of the time that is measured here.
 *
 * @param {string} url
 * @param {string} body
 * @returns {Promise<string>}
 */
function post(url, body) {
  return new Promise((resolve, reject) => {
    const headers = { "content-length": Buffer.byteLength(body) };
    const call = request(url, { agent, method: "POST", headers }, (response) => {
      text(response).then(resolve, reject);
    });
    call.on("error", reject);
    call.end(body);
  });
}

/**
 * @param {BenchServer} server
 * @returns {Promise<Health>} the part of /health_check that is read here
 */
export async function readHealth(server) {
  return /** @type {Health} */ (await (await fetch(`${server.url}/health_check`)).json());
}

/**
 * Resident memory of a process (Linux).
 *
 * @param {number} pid
 * @returns {Promise<number>} bytes
 */
export async function readResidentBytes(pid) {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

/**
 * @param {readonly number[]} values
 * @param {number} share 0.5 for the median
 * @returns {number}
 */
export function quantile(values, share) {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
