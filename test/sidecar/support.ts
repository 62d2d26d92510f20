import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished } from "vitest";
import { createLogger } from "../../src/log.js";
import type {
  SupervisionLimits,
  SupervisorOptions,
  TransportChoice,
} from "../../src/sidecar/limits.js";
import type { SidecarState, SidecarStatus } from "../../src/sidecar/status.js";
import { Supervisor } from "../../src/sidecar/supervisor.js";
import type { Task, TaskImage } from "../../src/sidecar/task.js";
import { isRunning } from "../support/processes.js";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const PYTHON = path.join(ROOT, ".venv/bin/python");
export const FAKE_SIDECAR = path.join(ROOT, "test/fixtures/fake_sidecar.py");

/** Far longer than anything takes: reached only when something is wrong. */
export const PATIENCE = { timeout: 20_000, interval: 10 };

export const CONFIG: SupervisorOptions["config"] = {
  checkpoint: "/nowhere",
  vqgan: null,
  slots: 2,
  chunkTokens: 16,
  precision: "auto",
  cacheDir: null,
};

export interface Setup {
  readonly supervisor: Supervisor;
  /** Holds the run folder while there is one. */
  readonly folder: string;
  /** Every log message so far. */
  readonly lines: string[];
  /** Every state entered, in order, without repeats. */
  readonly states: SidecarState[];
}

export interface SetupOptions {
  readonly args?: readonly string[];
  readonly limits?: Partial<SupervisionLimits>;
  readonly command?: string;
  readonly runFolderParent?: string;
  readonly transport?: TransportChoice;
  /** 0 makes every restart immediate. */
  readonly random?: () => number;
}

/** A supervisor of the fake sidecar, not started; whatever it starts is gone after the test. */
export function createSetup(mode: string, options: SetupOptions = {}): Setup {
  const folder = makeFolder();
  const lines: string[] = [];
  const log = createLogger("info", {
    write: (line: string) => {
      lines.push(line);
    },
  });
  const supervisor = new Supervisor({
    program: {
      command: options.command ?? PYTHON,
      args: [FAKE_SIDECAR, "--mode", mode, ...(options.args ?? [])],
      cwd: ROOT,
      env: {},
    },
    config: CONFIG,
    log,
    limits: { beatIntervalMs: 200, missedBeatLimit: 25, ...options.limits },
    runFolderParent: options.runFolderParent ?? folder,
    ...(options.transport === undefined ? {} : { transport: options.transport }),
    random: options.random ?? (() => 0),
  });
  const states: SidecarState[] = [];
  supervisor.onStatus(({ state }) => {
    if (states.at(-1) !== state) states.push(state);
  });
  onTestFinished(async () => {
    supervisor.kill();
    await supervisor.stop({ drainMs: 0 });
  });
  return { supervisor, folder, lines, states };
}

/** Starts and waits until it is ready. */
export async function startReady(mode: string, options: SetupOptions = {}): Promise<Setup> {
  const setup = createSetup(mode, options);
  setup.supervisor.start();
  await waitForStatus(setup.supervisor, ({ state }) => state === "ready");
  return setup;
}

/** Resolves with the first status, now or later, that fits. */
export function waitForStatus(
  supervisor: Supervisor,
  fits: (status: SidecarStatus) => boolean,
): Promise<SidecarStatus> {
  return new Promise((resolve, reject) => {
    const check = (status: SidecarStatus) => {
      if (!fits(status)) return false;
      remove();
      clearTimeout(timer);
      resolve(status);
      return true;
    };
    const timer = setTimeout(() => {
      remove();
      reject(new Error(`never came; the last status is ${JSON.stringify(supervisor.status())}`));
    }, PATIENCE.timeout);
    const remove = supervisor.onStatus(check);
    check(supervisor.status());
  });
}

let taskCount = 0;

export function createTask(changes: Partial<Task> = {}): Task {
  taskCount += 1;
  return {
    taskId: `task-${taskCount}`,
    attempt: 1,
    prompt: "a red circle",
    seed: 0x0a0b0c,
    sampling: { condScale: null, temperature: null, topK: null, topP: null },
    deadlineInMs: 60_000,
    ...changes,
  };
}

/** Runs a task and waits until the sidecar has it; `--gate` keeps it from being finished. */
export async function startTask(supervisor: Supervisor): Promise<{ done: Promise<TaskImage> }> {
  const abort = new AbortController();
  let done: Promise<TaskImage> | undefined;
  const begun = new Promise<void>((resolve) => {
    done = supervisor.run(createTask(), {
      signal: abort.signal,
      onProgress: () => {
        resolve();
      },
    });
  });
  if (done === undefined) throw new Error("a promise starts at once");
  await Promise.race([begun, done]);
  return { done };
}

/** A folder that is removed after the test. */
export function makeFolder(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "dalle-test-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

export async function expectGone(pid: number | null, timeout = PATIENCE.timeout): Promise<void> {
  expect(pid).not.toBeNull();
  await expect.poll(() => isRunning(pid ?? 0), { ...PATIENCE, timeout }).toBe(false);
}

/** Nothing of the supervisor is left: no process, no socket, no folder. */
export async function expectNothingLeft({ folder }: Setup, pid: number | null): Promise<void> {
  expect(readdirSync(folder)).toEqual([]);
  if (pid !== null) await expectGone(pid);
}

export function never(): AbortSignal {
  return new AbortController().signal;
}
