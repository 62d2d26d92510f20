import { spawn, type ChildProcess } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { access, chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { z } from "zod";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = path.join(ROOT, "dist", "main.js");
const FAKE_SIDECAR = path.join(ROOT, "test", "fixtures", "fake_sidecar.py");
/** The fake sidecar, or with `--real` the real one, with faults on demand. */
const HAUNTED_SIDECAR = path.join(ROOT, "test", "fixtures", "haunted_sidecar.py");
const PYTHON = path.join(ROOT, ".venv", "bin", "python");

const lineSchema = z.looseObject({ msg: z.string(), port: z.int().optional() });
const sidecarSchema = z.looseObject({
  state: z.string(),
  pid: z.int().nullable(),
  generation: z.int(),
  breaker: z.looseObject({ state: z.string() }),
  phase: z.looseObject({ name: z.string(), done: z.number() }).nullable(),
  lastFailure: z.looseObject({ code: z.string(), reason: z.string() }).nullable(),
  failures: z.record(z.string(), z.int()),
});
const healthSchema = z.looseObject({
  state: z.string(),
  reason: z.string().nullable(),
  sidecar: sidecarSchema,
  sidecars: z.array(sidecarSchema),
  queue: z.looseObject({
    openJobs: z.int(),
    completedJobs: z.int(),
    runningImages: z.int(),
    finishedImages: z.int(),
    retriedImages: z.int(),
  }),
  saving: z.looseObject({ savedCount: z.int(), failedCount: z.int() }).nullable(),
});

export type Health = z.output<typeof healthSchema>;

export interface ServerExit {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const PATIENCE = { timeout: 25_000, interval: 10 };
/** Longer than any start of the real sidecar takes, on a busy machine too. */
export const START_LIMIT_MS = 240_000;

/** Writes the program that takes the place of `python -m sidecar`. */
async function writePython(folder: string, program: string): Promise<string> {
  const python = path.join(folder, "python");
  await writeFile(python, `#!/bin/sh\nshift 2\nexec ${PYTHON} ${program} "$@"\n`);
  await chmod(python, 0o700);
  return python;
}

/**
 * Writes what takes the place of the Python of the real sidecar: it leaves a file for each spawn, and
 * has so many bytes for its data.
 */
async function writeWatchedPython(folder: string, dataBytes: number): Promise<string> {
  const python = path.join(folder, "python");
  const limit = `ulimit -d ${Math.floor(dataBytes / 1024)} || exit 1`;
  const note = `: > "${folder}/spawns/$$"`;
  await writeFile(python, `#!/bin/sh\n${limit}\n${note}\nexec ${PYTHON} "$@"\n`);
  await chmod(python, 0o700);
  return python;
}

function refuse(): never {
  throw new Error("the order is still there");
}

/** Resolves when a haunted sidecar has removed the file, which means that it obeys. */
async function untilObeyed(order: string, timeout: number): Promise<void> {
  await vi.waitFor(() => access(order).then(refuse, () => undefined), { ...PATIENCE, timeout });
}

/** Runs the built server until it ends by itself. */
export async function runServer(...flags: string[]): Promise<ServerExit> {
  return runServerIn({}, ...flags);
}

/** The same with variables added to its environment. */
export async function runServerIn(
  env: Readonly<Record<string, string>>,
  ...flags: string[]
): Promise<ServerExit> {
  const child = spawn(process.execPath, [MAIN, ...flags], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output.stderr += chunk.toString()));
  await once(child, "close");
  return { code: child.exitCode, ...output };
}

/** The built server as a process of its own, over a fake sidecar that is a real process. */
export class ServerProcess {
  readonly messages: string[] = [];
  /** The whole lines of its log. */
  readonly lines: Readonly<Record<string, unknown>>[] = [];
  /** Resolves with the exit code, after the last line of the log. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #spawnAgain: () => Promise<ServerProcess>;
  readonly #events = new EventEmitter();
  #port = 0;

  private constructor(
    child: ChildProcess,
    folder: string,
    spawnAgain: () => Promise<ServerProcess>,
  ) {
    this.#child = child;
    this.#folder = folder;
    this.#spawnAgain = spawnAgain;
    this.exited = once(child, "close").then(() => child.exitCode);
    if (child.stdout !== null) {
      createInterface(child.stdout).on("line", (text) => {
        const line = lineSchema.parse(JSON.parse(text));
        this.#port ||= line.port ?? 0;
        this.messages.push(line.msg);
        this.lines.push(line);
        this.#events.emit("line");
      });
    }
  }

  /** Starts it on a free port and waits until it listens. `{folder}` in arguments is its own folder. */
  static async start(sidecarArguments = "", ...flags: string[]): Promise<ServerProcess> {
    const folder = await mkdtemp(path.join(tmpdir(), "dalle-test-"));
    const fake = sidecarArguments.replaceAll("{folder}", folder);
    const python = await writePython(folder, `${FAKE_SIDECAR} ${fake}`);
    const model = ["--checkpoint", folder, "--cache_dir", "none"];
    return ServerProcess.#spawn(folder, ["--sidecar_python", python, ...model, ...flags]);
  }

  /** The same, after a command of the shell such as `ulimit -n 64`. */
  static async startLimited(
    shellLimit: string,
    sidecarArguments: string,
    ...flags: string[]
  ): Promise<ServerProcess> {
    const folder = await mkdtemp(path.join(tmpdir(), "dalle-test-"));
    const python = await writePython(folder, `${FAKE_SIDECAR} ${sidecarArguments}`);
    const model = ["--checkpoint", folder, "--cache_dir", "none", "--sidecar_python", python];
    const own = flags.map((flag) => flag.replaceAll("{folder}", folder));
    return ServerProcess.#spawn(folder, [...model, ...own], {}, shellLimit);
  }

  /** The same over a sidecar that obeys {@link order}. */
  static async startHaunted(sidecarArguments = "", ...flags: string[]): Promise<ServerProcess> {
    const folder = await mkdtemp(path.join(tmpdir(), "dalle-test-"));
    const orders = path.join(folder, "orders");
    await mkdir(orders);
    const fake = sidecarArguments.replaceAll("{folder}", folder);
    const python = await writePython(folder, `${HAUNTED_SIDECAR} --orders ${orders} ${fake}`);
    const model = ["--checkpoint", folder, "--cache_dir", "none"];
    return ServerProcess.#spawn(folder, ["--sidecar_python", python, ...model, ...flags]);
  }

  /** Starts it over the real sidecar and the embedded checkpoint; compiled programs go to `cacheDir`. */
  static async startNano(cacheDir: string, ...flags: string[]): Promise<ServerProcess> {
    const folder = await mkdtemp(path.join(tmpdir(), "dalle-test-"));
    const model = ["--model_version", "Nano", "--cache_dir", cacheDir];
    return ServerProcess.#spawn(folder, [...model, ...flags]);
  }

  /** The same over a sidecar that obeys {@link order} and {@link hold}. */
  static async startHauntedNano(cacheDir: string, ...flags: string[]): Promise<ServerProcess> {
    const folder = await mkdtemp(path.join(tmpdir(), "dalle-test-"));
    const orders = path.join(folder, "orders");
    await mkdir(orders);
    const python = await writePython(folder, `${HAUNTED_SIDECAR} --orders ${orders} --real`);
    const model = ["--model_version", "Nano", "--cache_dir", cacheDir];
    return ServerProcess.#spawn(folder, ["--sidecar_python", python, ...model, ...flags]);
  }

  /** Starts it over the real sidecar with any checkpoint; {@link countSpawns} counts. */
  static async startWatched(
    checkpoint: string,
    { dataBytes }: { readonly dataBytes: number },
    ...flags: string[]
  ): Promise<ServerProcess> {
    const folder = await mkdtemp(path.join(tmpdir(), "dalle-test-"));
    await mkdir(path.join(folder, "spawns"));
    const python = await writeWatchedPython(folder, dataBytes);
    const model = ["--checkpoint", checkpoint, "--cache_dir", "none", "--sidecar_python", python];
    return ServerProcess.#spawn(folder, [...model, ...flags]);
  }

  /** Starts it over the real sidecar with a checkpoint of a hub; `env` says where the hub is. */
  static async startHub(
    env: Readonly<Record<string, string>>,
    ...flags: string[]
  ): Promise<ServerProcess> {
    const folder = await mkdtemp(path.join(tmpdir(), "dalle-test-"));
    return ServerProcess.#spawn(folder, ["--cache_dir", "none", ...flags], env);
  }

  static async #spawn(
    folder: string,
    flags: readonly string[],
    env: Readonly<Record<string, string>> = {},
    shellLimit = ":",
  ): Promise<ServerProcess> {
    const address = ["--port", "0", "--host", "127.0.0.1"];
    const program = [process.execPath, MAIN, ...address, ...flags];
    const child = spawn("/bin/sh", ["-c", `${shellLimit}; exec "$@"`, "sh", ...program], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...env, TMPDIR: folder },
    });
    const server = new ServerProcess(child, folder, () => ServerProcess.#spawn(folder, flags, env));
    await server.untilLogged("Listening; /ready tells when the model is loaded");
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get folder(): string {
    return this.#folder;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Another one in the same folder, with the same flags; the folder goes with the first to be disposed. */
  startSuccessor(): Promise<ServerProcess> {
    return this.#spawnAgain();
  }

  /** Makes a haunted sidecar do what haunted_sidecar.py calls `fault`; resolves when it is about to. */
  async order(pid: number, fault: string): Promise<void> {
    const file = path.join(this.#folder, "orders", String(pid));
    await writeFile(file, fault);
    process.kill(pid, "SIGUSR2");
    await untilObeyed(file, PATIENCE.timeout);
  }

  /** Stops the work of a haunted sidecar at the next moment of this name; one spawn obeys. */
  async hold(moment: string): Promise<{ readonly untilHeld: () => Promise<void> }> {
    const file = path.join(this.#folder, "orders", `hold-${moment}`);
    await writeFile(file, "");
    return { untilHeld: () => untilObeyed(file, START_LIMIT_MS) };
  }

  /** How many sidecars were started, for {@link startWatched}. */
  async countSpawns(): Promise<number> {
    return (await readdir(path.join(this.#folder, "spawns"))).length;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async untilLogged(message: string): Promise<void> {
    while (!this.messages.includes(message)) await once(this.#events, "line");
  }

  /** Waits for a message that contains `part`. */
  async untilLoggedPart(part: string): Promise<void> {
    while (!this.messages.some((message) => message.includes(part)))
      await once(this.#events, "line");
  }

  async untilReady(): Promise<void> {
    await this.untilLogged("--> DALL-E Server is up and running!");
  }

  post(body: object): Promise<Response> {
    return fetch(`${this.url}/dalle`, { method: "POST", body: JSON.stringify(body) });
  }

  async health(): Promise<Health> {
    return healthSchema.parse(await (await fetch(`${this.url}/health_check`)).json());
  }

  /** Asks for health until it is as wanted. */
  untilHealth(
    isWanted: (health: Health) => boolean,
    timeout: number = PATIENCE.timeout,
  ): Promise<Health> {
    const askForWanted = async () => {
      const health = await this.health();
      if (!isWanted(health)) throw new Error(`the health is ${JSON.stringify(health)}`);
      return health;
    };
    return vi.waitFor(askForWanted, { timeout, interval: 50 });
  }

  /** Ends what is left of it and removes its folder. */
  async dispose(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.kill("SIGKILL");
    await this.exited;
    await rm(this.#folder, { recursive: true, force: true });
  }
}
