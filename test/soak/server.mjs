/** The built server as a process of its own, over a sidecar that can be told to go wrong. */
import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text as readText } from "node:stream/consumers";
import { setTimeout as waitMs } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const POLL_MS = 50;
/** Also of a real sidecar that compiles, on a busy machine. */
const READY_LIMIT_MS = 300_000;
export const IMAGE_SIDE = 32;
/** The only limit of supervision that is not the default: nobody waits five minutes for a hang. */
export const CHUNK_TIMEOUT_S = 3;

/**
 * @typedef {{ state: string, pid: number | null, generation: number, nextTryAt: string | null, lastFailure: { code: string } | null }} SidecarHealth
 * @typedef {object} Health the part of /health_check that is read here
 * @property {boolean} ready
 * @property {readonly SidecarHealth[]} sidecars
 * @property {{ openJobs: number, waitingImages: number, runningImages: number }} queue
 * @property {{ savedCount: number, failedCount: number } | null} saving
 *
 * @typedef {{ level: string, msg: string, requestId?: string, port?: number, code?: string, event?: string }} LogLine
 *
 * @typedef {object} SoakServer
 * @property {string} url
 * @property {number} pid
 * @property {string} folder its own: temporary files, images, orders
 * @property {Promise<number | null>} exited the exit code
 * @property {(signal: NodeJS.Signals) => void} kill
 * @property {() => Promise<Health>} health
 */

/**
 * @param {object} options
 * @param {"fake" | "nano"} options.sidecar
 * @param {number} options.sidecarCount
 * @param {boolean} options.isSaving
 * @param {readonly string[]} options.flags more of them
 * @param {(line: LogLine) => void} options.onLog
 * @returns {Promise<SoakServer>}
 */
export async function startServer({ sidecar, sidecarCount, isSaving, flags, onLog }) {
  const folder = await mkdtemp(join(tmpdir(), "dalle-soak-"));
  for (const name of ["tmp", "images", "orders", "pids"]) await mkdir(join(folder, name));
  const python = await writeSidecarProgram(folder, sidecar);
  const model =
    sidecar === "nano"
      ? ["--model_version", "Nano"]
      : ["--checkpoint", folder, "--cache_dir", "none"];
  const child = spawn(
    process.execPath,
    [
      "--expose-gc",
      `--import=${new URL("gc-on-signal.mjs", import.meta.url).href}`,
      join(ROOT, "dist", "main.js"),
      ...["--host", "127.0.0.1", "--port", "0", "--sidecar_python", python, ...model],
      ...["--sidecars", String(sidecarCount), "--save_to_disk", String(isSaving)],
      ...["--output_dir", join(folder, "images"), "--queue_limit", "80"],
      ...["--chunk_timeout", String(CHUNK_TIMEOUT_S)],
      // So many failures are the point here.
      ...["--breaker_failures", "1000", "--drain_timeout", "20", ...flags],
    ],
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, TMPDIR: join(folder, "tmp") } },
  );
  /** @type {Promise<number | null>} */
  const exited = new Promise((resolve) => child.once("exit", resolve));
  /** @type {Promise<number>} */
  const listening = new Promise((resolve, reject) => {
    createInterface(child.stdout).on("line", (text) => {
      /** @type {unknown} */
      const parsed = JSON.parse(text);
      const line = /** @type {LogLine} */ (parsed);
      if (line.port !== undefined) resolve(line.port);
      onLog(line);
    });
    child.once("exit", (code) => {
      reject(new Error(`the server ended with code ${String(code)}`));
    });
  });
  const url = `http://127.0.0.1:${await listening}`;
  const health = async () => {
    /** @type {unknown} */
    const parsed = JSON.parse((await ask(`${url}/health_check`)).body);
    return /** @type {Health} */ (parsed);
  };
  const kill = (/** @type {NodeJS.Signals} */ signal) => void child.kill(signal);
  return { url, pid: child.pid ?? 0, folder, exited, kill, health };
}

/**
 * Asks on a connection of its own: one that stays open would count as a descriptor of the server.
 *
 * @param {string} url
 * @returns {Promise<{ status: number, body: string }>}
 */
export function ask(url) {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      readText(response).then((body) => {
        resolve({ status: response.statusCode ?? 0, body });
      }, reject);
    }).on("error", reject);
  });
}

/**
 * Takes the place of `python -m sidecar`, and leaves the number of each process in a folder.
 *
 * @param {string} folder
 * @param {"fake" | "nano"} sidecar
 */
async function writeSidecarProgram(folder, sidecar) {
  const program = join(folder, "python");
  const python = join(ROOT, ".venv", "bin", "python");
  const haunted = join(ROOT, "test", "fixtures", "haunted_sidecar.py");
  const size = `--width ${IMAGE_SIDE} --height ${IMAGE_SIDE}`;
  const options = sidecar === "nano" ? "--real" : `--chunks 4 --step-ms 8 ${size}`;
  const own = `--orders "${join(folder, "orders")}" ${options}`;
  const note = `: > "${join(folder, "pids")}/$$"`;
  const script = `#!/bin/sh\nshift 2\n${note}\nexec "${python}" "${haunted}" ${own} "$@"\n`;
  await writeFile(program, script);
  await chmod(program, 0o700);
  return program;
}

/**
 * @param {SoakServer} server
 * @param {(health: Health) => boolean} isWanted
 * @param {number} [limitMs]
 * @returns {Promise<Health>}
 */
export async function untilHealth(server, isWanted, limitMs = READY_LIMIT_MS) {
  const endsAtMs = performance.now() + limitMs;
  for (;;) {
    const health = await server.health();
    if (isWanted(health)) return health;
    if (performance.now() > endsAtMs) {
      throw new Error(`the health did not become as wanted: ${JSON.stringify(health)}`);
    }
    await waitMs(POLL_MS);
  }
}

/**
 * Ends what is left of it and removes its folder.
 *
 * @param {SoakServer} server
 */
export async function dispose(server) {
  server.kill("SIGKILL");
  await server.exited;
  await rm(server.folder, { recursive: true });
}
