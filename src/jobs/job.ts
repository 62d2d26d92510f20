import { randomUUID } from "node:crypto";
import { AppError } from "../errors.js";
import type { SamplingSettings, Task } from "../sidecar/task.js";
import type { JobHandle, JobSpec } from "./broker.js";
import type { JobImage, JobListener } from "./events.js";

/** `suspect`: waits to run alone, because a sidecar died while it had the task. */
export type TaskState = "waiting" | "suspect" | "running" | "done";

/** One image of a job: what the sidecar gets, and how far it is. */
export class JobTask implements Task {
  readonly taskId: string;
  attempt = 0;
  /** How often a sidecar died with it. */
  deaths = 0;
  /** Image tokens of the running attempt. */
  tokens = 0;
  state: TaskState = "waiting";

  constructor(
    readonly job: Job,
    readonly index: number,
    readonly seed: number,
  ) {
    this.taskId = `${job.id}/${index}`;
  }

  get prompt(): string {
    return this.job.spec.prompt;
  }

  get sampling(): SamplingSettings {
    return this.job.spec.sampling;
  }

  get deadlineInMs(): number {
    return this.job.remainingMs();
  }
}

/**
 * One request for images and the tasks that it consists of.
 *
 * A job ends exactly once: with its last image, at its deadline, when it is cancelled, or with the
 * error of a task. Then its signal aborts the tasks that still run; what they report is ignored.
 */
export class Job implements JobHandle {
  readonly id = randomUUID();
  readonly spec: JobSpec;
  readonly tasks: readonly JobTask[];
  readonly #ending = new AbortController();
  readonly #startedAtMs = performance.now();
  readonly #deadlineTimer: NodeJS.Timeout;
  readonly #listener: JobListener;
  #isOpen = true;

  constructor(spec: JobSpec, listener: JobListener) {
    this.spec = spec;
    this.tasks = spec.seeds.map((seed, index) => new JobTask(this, index, seed));
    this.#listener = listener;
    this.#deadlineTimer = setTimeout(() => {
      this.fail(createDeadlineError(spec.deadlineInMs));
    }, spec.deadlineInMs);
  }

  /** Whether it has not ended. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Aborts when the job ends. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** The next task that may run beside others, or null when none waits. */
  nextTask(): JobTask | null {
    return this.tasks.find(({ state }) => state === "waiting") ?? null;
  }

  /** Whole milliseconds until the deadline, at least 1. */
  remainingMs(): number {
    const passedMs = performance.now() - this.#startedAtMs;
    return Math.max(1, Math.floor(this.spec.deadlineInMs - passedMs));
  }

  /** An attempt of a task begins. */
  start(task: JobTask): void {
    task.state = "running";
    task.attempt += 1;
    task.tokens = 0;
    if (task.attempt > 1) return;
    const waitedS = (performance.now() - this.#startedAtMs) / 1000;
    this.#listener({ type: "started", index: task.index, waitedS });
  }

  /** A running task has `tokens` image tokens. */
  progress(task: JobTask, tokens: number): void {
    const newTokens = tokens - task.tokens;
    if (!this.#isOpen || newTokens <= 0) return;
    task.tokens = tokens;
    this.#listener({ type: "progress", index: task.index, tokens, newTokens });
  }

  /** The image of a running task is there; the last one completes the job. */
  finish(task: JobTask, image: JobImage): void {
    if (!this.#isOpen) return;
    this.progress(task, image.imageTokens);
    task.state = "done";
    this.#listener({ type: "image", index: task.index, image });
    if (this.tasks.every(({ state }) => state === "done")) this.#end(null);
  }

  /** Ends the job with an error. Has no effect on a job that has ended. */
  fail(error: AppError): void {
    if (this.#isOpen) this.#end(error);
  }

  cancel(): void {
    this.fail(new AppError("cancelled", "The caller went away."));
  }

  #end(error: AppError | null): void {
    this.#isOpen = false;
    clearTimeout(this.#deadlineTimer);
    this.#ending.abort(error);
    this.#listener(error === null ? { type: "completed" } : { type: "failed", error });
  }
}

function createDeadlineError(deadlineInMs: number): AppError {
  const seconds = Math.round(deadlineInMs / 100) / 10;
  const message = `The request was not finished within ${seconds} s. Ask for fewer images at a time, or start the server with a larger --request_timeout.`;
  return new AppError("deadline_exceeded", message);
}
