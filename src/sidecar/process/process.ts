import { closeSync, openSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import { execa } from "execa";
import type { Exit } from "../failure.js";
import { waitMs } from "../wait.js";
import type { Launch } from "./launch.js";
import { createLineSplitter, RecentLines } from "./lines.js";
import { describeLine } from "./output-log.js";

/** How many of the last log lines are kept for the report of a failure. */
const KEPT_LINE_COUNT = 200;
/** What a spawn opens: a pair of sockets for each stream, a pipe for the error of exec, and some room. */
const SPAWN_DESCRIPTORS = 12;
/** How long to wait for the rest of the output after the end of the process. */
const OUTPUT_LIMIT_MS = 500;

const EXECA_OPTIONS = {
  // A process group of its own: it can be ended as a whole, and Ctrl-C on a terminal reaches only us.
  detached: true,
  cleanup: false,
  // The end of file on standard input is the sidecar's sign that this process is gone, so nothing is ever written to it.
  stdin: "pipe",
  stdout: "pipe",
  stderr: "pipe",
  buffer: false,
  reject: false,
} as const;

interface ProcessEvents {
  /** One line of either output stream. */
  readonly onLine: (line: string) => void;
  /** The process itself has ended; its output may not have been read to the end. */
  readonly onExit: () => void;
}

/** One running sidecar process and its process group. */
export class SidecarProcess {
  /** Null when the start failed. */
  readonly pid: number | null;
  /** Resolves once: after the end of the process, of its group and of its output. Never rejects. */
  readonly exited: Promise<Exit>;
  readonly #recent = new RecentLines(KEPT_LINE_COUNT);
  #hasExited = false;

  /** @throws Error on a worker thread: the kernel ends the sidecar with the thread that started it. */
  constructor(launch: Launch, { onLine, onExit }: ProcessEvents) {
    if (!isMainThread) throw new Error("a sidecar can only be started on the main thread");
    const shortage = findShortage();
    if (shortage !== null) {
      this.pid = null;
      this.#hasExited = true;
      this.exited = Promise.resolve(shortage).finally(onExit);
      return;
    }
    const subprocess = spawnSidecar(launch);
    this.pid = subprocess.pid ?? null;
    const isRead = this.#readLines(subprocess, onLine);
    this.exited = this.#waitForEnd(subprocess, isRead, onExit);
  }

  /** The last lines of the output, oldest first. */
  lastLines(count?: number): readonly string[] {
    return this.#recent.list(count);
  }

  /** Asks for the stacks of all threads, which come as log lines. */
  requestStacks(): void {
    this.#signal("SIGUSR1");
  }

  /** Asks the process to end, and ends its whole group after `graceMs` if it has not. */
  async terminate(graceMs: number): Promise<Exit> {
    this.#signal("SIGTERM");
    const timer = setTimeout(() => {
      this.killGroup();
    }, graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the whole group at once. */
  killGroup(): void {
    if (this.pid !== null && !this.#hasExited) signalQuietly(-this.pid, "SIGKILL");
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.pid !== null && !this.#hasExited) signalQuietly(this.pid, signal);
  }

  /** Reads both streams to their end in any case: a full pipe would stop the process. */
  async #readLines(subprocess: Subprocess, onLine: (line: string) => void): Promise<void> {
    const streams = [subprocess.stdout, subprocess.stderr];
    const ends = streams.map(async (stream) => {
      const splitter = createLineSplitter((line) => {
        this.#recent.add(describeLine(line));
        onLine(line);
      });
      stream.setEncoding("utf8");
      stream.on("data", splitter.write);
      await new Promise((resolve) => stream.once("close", resolve));
      splitter.end();
    });
    await Promise.all(ends);
  }

  async #waitForEnd(
    subprocess: Subprocess,
    isRead: Promise<void>,
    onExit: () => void,
  ): Promise<Exit> {
    const exit = await waitForExit(subprocess);
    onExit();
    // What it had started and left behind ends with it, and then the output ends too.
    this.killGroup();
    this.#hasExited = true;
    const limit = new AbortController();
    await Promise.race([isRead, waitMs(OUTPUT_LIMIT_MS, limit.signal)]);
    limit.abort();
    return exit;
  }
}

type Subprocess = ReturnType<typeof spawnSidecar>;

/**
 * Without free descriptors `spawn` returns half an object and fails later, where execa cannot catch
 * it: that would end the whole server. So this is found out before.
 */
function findShortage(): Exit | null {
  const descriptors: number[] = [];
  try {
    for (let count = 0; count < SPAWN_DESCRIPTORS; count += 1) {
      descriptors.push(openSync("/dev/null", "r"));
    }
    return null;
  } catch (error) {
    const reason = error instanceof Error ? error : new Error(String(error));
    return { kind: "spawn_failed", error: reason, isMissing: false };
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor);
  }
}

function spawnSidecar({ command, args, cwd, env }: Launch) {
  return execa(command, args, { ...EXECA_OPTIONS, cwd, env });
}

/** The end of the process itself; execa waits for the output as well, which a grandchild can hold. */
async function waitForExit(subprocess: Subprocess): Promise<Exit> {
  if (subprocess.pid === undefined) {
    const { cause, message } = await subprocess;
    const error = cause instanceof Error ? cause : new Error(message);
    const code = "code" in error ? error.code : undefined;
    return { kind: "spawn_failed", error, isMissing: code === "ENOENT" || code === "EACCES" };
  }
  return await new Promise((resolve) => {
    subprocess.once("exit", (exitCode: number | null, signal: NodeJS.Signals | null) => {
      if (signal !== null) resolve({ kind: "killed", signal });
      else resolve({ kind: "exited", exitCode: exitCode ?? 1 });
    });
  });
}

function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended meanwhile.
  }
}
