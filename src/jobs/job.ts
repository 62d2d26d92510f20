import { randomUUID } from "node:crypto";
import { AppError } from "../errors.js";
import type { TaskImage } from "../sidecar/task.js";
import type { JobHandle, JobSpec, SubmitOptions } from "./broker.js";

/** A task that was taken from a job and is about to run. */
export interface TakenTask {
  readonly index: number;
  readonly taskId: string;
  readonly attempt: number;
  readonly signal: AbortSignal;
}

export type JobState = "open" | "completed" | "failed";

/**
 * The state of one job: which of its tasks wait, which run, and how it ended.
 *
 * A job settles exactly once. Settling aborts the tasks that still run and forgets those that wait;
 * whatever is reported about them later is ignored.
 */
export class Job implements JobHandle {
  readonly id = randomUUID();
  readonly done: Promise<void>;
  readonly prompt: string;
  readonly sampling: JobSpec["sampling"];
  readonly #spec: JobSpec;
  readonly #onImage: SubmitOptions["onImage"];
  readonly #waiting: number[];
  /** Tasks that the sidecar died with; each runs alone, so that the culprit is found. */
  readonly #suspects: number[] = [];
  readonly #deaths = new Map<number, number>();
  readonly #running = new Map<number, AbortController>();
  readonly #attempts: number[];
  readonly #startedAtMs = performance.now();
  readonly #endsAtMs: number;
  readonly #release: () => void;
  readonly #onSettled: (job: Job, error: AppError | null) => void;
  #resolve: () => void = () => undefined;
  #reject: (error: AppError) => void = () => undefined;
  #state: JobState = "open";
  #missingCount: number;

  constructor(
    spec: JobSpec,
    options: SubmitOptions,
    onSettled: (job: Job, error: AppError | null) => void,
  ) {
    this.#spec = spec;
    this.prompt = spec.prompt;
    this.sampling = spec.sampling;
    this.#onImage = options.onImage;
    this.#onSettled = onSettled;
    this.#waiting = spec.seeds.map((_, index) => index);
    this.#attempts = spec.seeds.map(() => 0);
    this.#missingCount = spec.seeds.length;
    this.#endsAtMs = this.#startedAtMs + spec.deadlineInMs;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A job may fail before anybody waits for it; that must not count as an unhandled rejection.
    this.done.catch(() => undefined);
    this.#release = this.#watchLimits(options.signal);
  }

  get state(): JobState {
    return this.#state;
  }

  get waitingCount(): number {
    return this.#waiting.length + this.#suspects.length;
  }

  /** Whether a task waits that may run beside others. */
  get hasFreshTask(): boolean {
    return this.#waiting.length > 0;
  }

  get hasSuspect(): boolean {
    return this.#suspects.length > 0;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** Whether the next waiting task was given back before; such tasks do not wait for their turn again. */
  get isRetryNext(): boolean {
    const [next] = this.#waiting;
    return next !== undefined && (this.#attempts[next] ?? 0) > 0;
  }

  /** Whole milliseconds until the deadline, at least 1. */
  remainingMs(): number {
    return Math.max(1, Math.floor(this.#endsAtMs - performance.now()));
  }

  /** Milliseconds since it was submitted. */
  ageMs(): number {
    return performance.now() - this.#startedAtMs;
  }

  seedOf(index: number): number {
    return this.#spec.seeds[index] ?? 0;
  }

  /** Takes the next waiting task that is no suspect, or null when none waits. */
  takeTask(): TakenTask | null {
    return this.#take(this.#waiting.shift());
  }

  /** Takes the next task that has to run alone, or null when none waits. */
  takeSuspect(): TakenTask | null {
    return this.#take(this.#suspects.shift());
  }

  #take(index: number | undefined): TakenTask | null {
    if (index === undefined) return null;
    const controller = new AbortController();
    const attempt = (this.#attempts[index] ?? 0) + 1;
    this.#attempts[index] = attempt;
    this.#running.set(index, controller);
    return { index, taskId: `${this.id}/${index}`, attempt, signal: controller.signal };
  }

  /** Puts a task that did not end, through no fault of its own, back at the front. */
  returnTask(index: number): void {
    this.#running.delete(index);
    this.#waiting.push(index);
    this.#waiting.sort((left, right) => left - right);
  }

  /** Counts that the sidecar died with a running task; returns how often that was so by now. */
  countDeath(index: number): number {
    const deathCount = (this.#deaths.get(index) ?? 0) + 1;
    this.#deaths.set(index, deathCount);
    return deathCount;
  }

  /** Makes a running task wait for a sidecar of its own. */
  suspectTask(index: number): void {
    this.#running.delete(index);
    this.#suspects.push(index);
    this.#suspects.sort((left, right) => left - right);
  }

  /** Takes the picture of a task; the last one completes the job. */
  finishTask(index: number, image: TaskImage): void {
    if (this.#state !== "open" || !this.#running.delete(index)) return;
    this.#missingCount -= 1;
    this.#onImage(image, index);
    if (this.#missingCount === 0) this.#settle(null);
  }

  /** Ends the job with an error. Without effect on a job that has ended. */
  fail(error: AppError): void {
    if (this.#state === "open") this.#settle(error);
  }

  #settle(error: AppError | null): void {
    this.#state = error === null ? "completed" : "failed";
    this.#release();
    this.#waiting.length = 0;
    this.#suspects.length = 0;
    for (const controller of this.#running.values()) controller.abort(error);
    this.#running.clear();
    if (error === null) this.#resolve();
    else this.#reject(error);
    this.#onSettled(this, error);
  }

  /** Fails the job at its deadline or when the caller leaves; returns the way to stop watching. */
  #watchLimits(signal: AbortSignal | undefined): () => void {
    const { deadlineInMs } = this.#spec;
    const timer = setTimeout(() => {
      this.fail(createDeadlineError(deadlineInMs));
    }, deadlineInMs);
    const cancel = () => {
      this.fail(new AppError("cancelled", "The caller went away."));
    };
    signal?.addEventListener("abort", cancel, { once: true });
    return () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
    };
  }
}

function createDeadlineError(deadlineInMs: number): AppError {
  const seconds = Math.round(deadlineInMs / 100) / 10;
  return new AppError(
    "deadline_exceeded",
    `The request was not finished within ${seconds} s. Ask for fewer images at a time, or start the server with a larger --request_timeout.`,
  );
}
