/** Starts the built server as a user would, and looks at it from outside: its log, HTTP and /proc. */
import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { execa } from "execa";
import { z } from "zod";
import { readHealth } from "./health.mjs";
import { MAIN } from "./paths.mjs";
import { Orders } from "./sidecar-program.mjs";
import { PATIENCE_MS, until } from "./until.mjs";

const lineSchema = z.looseObject({
  level: z.string(),
  msg: z.string(),
  port: z.int().optional(),
  event: z.string().optional(),
  code: z.string().optional(),
  requestId: z.string().optional(),
});

/**
 * @typedef {import("./health.mjs").Health} Health
 * @typedef {z.output<typeof lineSchema>} LogLine
 *
 * @typedef {object} ServerOptions `{folder}` in any of them is the folder of the server
 * @property {readonly string[]} [program] what Python runs in place of the real sidecar
 * @property {readonly string[]} [flags] over another program, a model of its own unless they name one
 * @property {Readonly<Record<string, string>>} [env] added to the environment
 * @property {string} [shellLimit] a command of the shell that comes first, such as `ulimit -n 64`
 */

/** The built server, listening on a free port of this machine until it is disposed of. */
export class BuiltServer {
  /**
   * Every line of its log so far.
   *
   * @type {LogLine[]}
   */
  lines = [];
  /** Its own, for what a test puts there. */
  folder;
  /** Orders to its sidecars. */
  orders;
  /** Resolves with the exit code after the last line of the log; null when a signal ended it. */
  exited;
  #options;
  #child;
  #events = new EventEmitter();
  #hasEnded = false;
  /** @type {BuiltServer[]} */
  #successors = [];

  /**
   * @param {string} folder
   * @param {Orders} orders
   * @param {ServerOptions} options
   */
  constructor(folder, orders, options) {
    this.folder = folder;
    this.orders = orders;
    this.#options = options;
    this.#child = spawnServer(folder, options);
    this.exited = once(this.#child, "close").then(() => {
      this.#hasEnded = true;
      this.#events.emit("change");
      return this.#child.exitCode;
    });
    createInterface(this.#child.stdout).on("line", (text) => {
      this.lines.push(lineSchema.parse(JSON.parse(text)));
      this.#events.emit("change");
    });
  }

  /**
   * Resolves when it listens.
   *
   * @param {ServerOptions} [options]
   */
  static async start(options = {}) {
    const folder = await mkdtemp(join(tmpdir(), "dalle-test-"));
    await mkdir(join(folder, "tmp"));
    return new BuiltServer(folder, new Orders(join(folder, "orders")), options).#untilListening();
  }

  /** Another one in the same folder, with the same options, after this one has ended; it goes with this one. */
  async startSuccessor() {
    const successor = new BuiltServer(this.folder, this.orders, this.#options);
    this.#successors.push(successor);
    return successor.#untilListening();
  }

  get url() {
    return `http://127.0.0.1:${this.lines.find(({ port }) => port !== undefined)?.port ?? 0}`;
  }

  get pid() {
    return this.#child.pid ?? Number.NaN;
  }

  get messages() {
    return this.lines.map(({ msg }) => msg);
  }

  /** @param {NodeJS.Signals} signal */
  kill(signal) {
    this.#child.kill(signal);
  }

  /** Ends it in order; resolves with the exit code. */
  stop() {
    this.kill("SIGTERM");
    return this.exited;
  }

  /**
   * Waits for a message that contains `part`.
   *
   * @param {string} part
   */
  async untilLogged(part) {
    await this.#untilLine(({ msg }) => msg.includes(part), `it logged "${part}"`);
  }

  async untilReady() {
    await this.untilLogged("--> DALL-E Server is up and running!");
  }

  /** What is in its folder for temporary files; at its end nothing. */
  listTemporary() {
    return readdir(join(this.folder, "tmp"));
  }

  /** @param {object} body of a POST to /dalle */
  post(body) {
    return fetch(`${this.url}/dalle`, { method: "POST", body: JSON.stringify(body) });
  }

  health() {
    return readHealth(this.url);
  }

  /**
   * Asks for health until it is as wanted.
   *
   * @param {(health: Health) => boolean} isWanted
   * @param {number} [limitMs]
   * @returns {Promise<Health>}
   */
  async untilHealth(isWanted, limitMs = PATIENCE_MS) {
    /** @type {unknown} */
    let seen = null;
    const look = async () => {
      if (this.#hasEnded) throw this.#createEndError("its health was as wanted");
      try {
        const health = await this.health();
        if (isWanted(health)) return health;
        seen = health;
      } catch (error) {
        // A server in trouble may refuse a connection.
        seen = String(error);
      }
      return null;
    };
    return until(look, limitMs, () => `the health is ${JSON.stringify(seen)}`);
  }

  /** Ends it and everything that it has started, whatever state they are in, and removes its folder. */
  async dispose() {
    for (const successor of this.#successors) await successor.#end();
    await this.#end();
    this.orders.killAll();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  async #end() {
    if (!this.#hasEnded) this.kill("SIGKILL");
    await this.exited;
  }

  async #untilListening() {
    try {
      await this.#untilLine(({ port }) => port !== undefined, "it listened");
    } catch (error) {
      await this.dispose();
      throw error;
    }
    return this;
  }

  /**
   * @param {(line: LogLine) => boolean} isWanted
   * @param {string} what
   */
  async #untilLine(isWanted, what) {
    while (!this.lines.some(isWanted)) {
      if (this.#hasEnded) throw this.#createEndError(what);
      await once(this.#events, "change");
    }
  }

  /** @param {string} what */
  #createEndError(what) {
    const lines = this.lines.slice(-20).map((line) => JSON.stringify(line));
    const end = `the server ended with code ${String(this.#child.exitCode)} before ${what}`;
    return new Error([end, ...lines].join("\n"));
  }
}

/**
 * Runs the built server until it ends by itself.
 *
 * @param {readonly string[]} flags
 * @param {Readonly<Record<string, string>>} [env] added to the environment
 */
export async function runServer(flags, env = {}) {
  const ended = await execa(process.execPath, [MAIN, ...flags], {
    env,
    reject: false,
    stdin: "ignore",
  });
  return { code: ended.exitCode, stdout: ended.stdout, stderr: ended.stderr };
}

/**
 * @param {string} folder
 * @param {ServerOptions} options
 */
export function spawnServer(folder, { program, flags = [], env = {}, shellLimit }) {
  const hasModel = flags.includes("--checkpoint") || flags.includes("--model_version");
  const ownModel = ["--checkpoint", "{folder}", "--cache_dir", "none"];
  const fill = (/** @type {string} */ text) => text.replaceAll("{folder}", folder);
  const server = [
    ...[process.execPath, MAIN, "--host", "127.0.0.1", "--port", "0"],
    ...[...(program === undefined || hasModel ? [] : ownModel), ...flags].map(fill),
  ];
  const hook = program === undefined ? {} : { DALLE_SIDECAR_PROGRAM: program.map(fill).join("\n") };
  const [command = "", ...args] =
    shellLimit === undefined
      ? server
      : ["/bin/sh", "-c", `${shellLimit}; exec "$@"`, "sh", ...server];
  return spawn(command, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...hook, ...env, TMPDIR: join(folder, "tmp") },
  });
}
