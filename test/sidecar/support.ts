/** A supervisor over the fake sidecar, with nothing above it. */
import { readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, onTestFinished } from "vitest";
import { createLogger } from "../../src/log.js";
import type {
  SupervisionLimits,
  SupervisorOptions,
  TransportChoice,
} from "../../src/sidecar/limits.js";
import type { SidecarState, SidecarStatus } from "../../src/sidecar/status.js";
import { Supervisor } from "../../src/sidecar/supervisor.js";
import type { RunOptions, Task, TaskImage, TaskRunner } from "../../src/sidecar/task.js";
import { FAKE_SIDECAR, PYTHON, ROOT } from "../harness/paths.mjs";
import { DEFAULT_LIMITS } from "../support/defaults.js";
import { makeFolder } from "../support/folder.js";
import { expectGone, PATIENCE } from "../support/processes.js";

/** What the fake sidecar does: a fault of test/fixtures/faults.py at a moment of triggers.py, or nothing wrong. */
export type Behaviour = "normal" | `${string} at ${string}`;

export const CONFIG: SupervisorOptions["config"] = {
  checkpoint: "/nowhere",
  vqgan: null,
  slots: 2,
  chunkTokens: 16,
  precision: "auto",
  cacheDir: null,
};

const IPC: TransportChoice = { kind: "ipc", host: "127.0.0.1" };
/** What supervisors of tests share. */
export const PLAIN = { config: CONFIG, index: 0, prefetch: null, transport: IPC };

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
  readonly program?: Partial<SupervisorOptions["program"]>;
  readonly runFolderParent?: string;
  readonly transport?: TransportChoice;
  /** 0 makes every restart immediate. */
  readonly random?: () => number;
}

/** The fake sidecar as a program; `args` are further options of it. */
export function createProgram(behaviour: Behaviour, args: readonly string[] = []) {
  const [fault = "", moment] = behaviour.split(" at ");
  const planned = moment === undefined ? [] : ["--fault", fault, "--at", moment];
  return { command: PYTHON, args: [FAKE_SIDECAR, ...planned, ...args], cwd: ROOT, env: {} };
}

/** A supervisor that is not started; whatever it starts is gone after the test. */
export function createSetup(behaviour: Behaviour, options: SetupOptions = {}): Setup {
  const folder = makeFolder();
  const lines: string[] = [];
  const log = createLogger("info", {
    write: (line: string) => {
      lines.push(line);
    },
  });
  const supervisor = new Supervisor({
    program: { ...createProgram(behaviour, options.args), ...options.program },
    ...PLAIN,
    log,
    limits: { ...DEFAULT_LIMITS, beatIntervalMs: 200, missedBeatLimit: 25, ...options.limits },
    runFolderParent: options.runFolderParent ?? folder,
    transport: options.transport ?? IPC,
    random: options.random ?? (() => 0),
  });
  const states: SidecarState[] = [];
  supervisor.onStatus(() => {
    const { state } = supervisor.status();
    if (states.at(-1) !== state) states.push(state);
  });
  onTestFinished(async () => {
    supervisor.kill();
    await supervisor.stop({ drainMs: 0 });
  });
  return { supervisor, folder, lines, states };
}

/** Starts and waits until it is ready. */
export async function startReady(behaviour: Behaviour, options: SetupOptions = {}): Promise<Setup> {
  const setup = createSetup(behaviour, options);
  setup.supervisor.start();
  await waitForReady(setup.supervisor);
  return setup;
}

/** The same with a gate: no image is made until it is opened. */
export async function startGated(options: SetupOptions = {}) {
  const gate = path.join(makeFolder(), "gate");
  const args = ["--gate", gate, ...(options.args ?? [])];
  const setup = await startReady("normal", { ...options, args });
  const openGate = () => {
    writeFileSync(gate, "");
  };
  return { ...setup, openGate };
}

/** The options of a sidecar whose first spawn alone does what is wrong. */
export function inFirstSpawn(): string[] {
  return ["--once", path.join(makeFolder(), "once")];
}

/** Resolves with the first status, now or later, that fits. */
export function waitForStatus(
  supervisor: Supervisor,
  fits: (status: SidecarStatus) => boolean,
): Promise<SidecarStatus> {
  return new Promise((resolve, reject) => {
    const check = () => {
      const status = supervisor.status();
      if (!fits(status)) return;
      remove();
      clearTimeout(timer);
      resolve(status);
    };
    const timer = setTimeout(() => {
      remove();
      reject(new Error(`never came; the last status is ${JSON.stringify(supervisor.status())}`));
    }, PATIENCE.timeout);
    const remove = supervisor.onStatus(check);
    check();
  });
}

export function waitForReady(supervisor: Supervisor, generation = 1): Promise<SidecarStatus> {
  return waitForStatus(
    supervisor,
    (status) => status.state === "ready" && status.generation === generation,
  );
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

/** Runs a task on a shared seat, which has to be free. */
export async function runTask(
  runner: TaskRunner,
  task: Task = createTask(),
  options: RunOptions = { signal: never() },
): Promise<TaskImage> {
  const seat = runner.takeSeat("shared");
  if (seat === null) throw new Error("no seat is free");
  return seat.run(task, options);
}

/** Runs a task and waits until the sidecar has it; a gate keeps it from being finished. */
export function startTask(runner: TaskRunner): Promise<{ done: Promise<TaskImage> }> {
  return new Promise((resolve, reject) => {
    const onProgress = () => {
      resolve({ done });
    };
    const done = runTask(runner, createTask(), { signal: never(), onProgress });
    done.catch(reject);
  });
}

/** Nothing of the supervisor is left: no process, no socket, no folder. */
export async function expectNothingLeft({ folder }: Setup, pid: number | null): Promise<void> {
  expect(readdirSync(folder)).toEqual([]);
  if (pid !== null) await expectGone(pid);
}

export function never(): AbortSignal {
  return new AbortController().signal;
}
