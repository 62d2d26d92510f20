import { AppError, hasCode } from "../errors.js";
import type { TaskRunner } from "../sidecar/task.js";
import { NO_OBSERVER, type Broker, type JobHandle, type JobSpec } from "./broker.js";
import type { QueueReport, SubmitOptions, WorkObserver } from "./broker.js";
import { Job, type TakenTask } from "./job.js";
import { Pace } from "./wait-estimate.js";
import { Quarantine } from "./quarantine.js";

export interface JobQueueOptions {
  readonly runner: TaskRunner;
  /** How many images may wait for a free credit. */
  readonly queueLimit: number;
  /** Why no new work is taken now, or null when it is. */
  readonly refusal: () => AppError | null;
  /** Images that are made but not saved yet: they take room as well, for a slow disk must not fill the memory. */
  readonly unsavedCount?: () => number;
  /** Where the prompts of tasks go that end the sidecar; none is refused unless given. */
  readonly quarantine?: Quarantine;
  /** A task that the sidecar died with so often is the reason. */
  readonly deathLimit: number;
  readonly observer?: WorkObserver;
}

/**
 * The bounded queue between requests and the sidecar.
 *
 * Jobs take turns: each gives one task, then goes to the end of the line, so a request for one image
 * never waits for all of a request for a hundred. A task whose sidecar died is a suspect: it runs once
 * more, with the same seed and before all others, in a sidecar that has nothing else to do. If that
 * dies too, its job fails and its prompt is refused for a time; its neighbours are proved innocent.
 * A task that fails for another reason fails its job.
 */
export class JobQueue implements Broker {
  readonly #runner: TaskRunner;
  readonly #limit: number;
  readonly #refusal: () => AppError | null;
  readonly #unsavedCount: () => number;
  readonly #quarantine: Quarantine;
  readonly #deathLimit: number;
  readonly #observer: WorkObserver;
  readonly #open = new Set<Job>();
  /** Open jobs with waiting tasks; the first gives the next task. */
  readonly #line: Job[] = [];
  /** Open jobs with suspects. */
  readonly #suspectLine: Job[] = [];
  readonly #pace = new Pace();
  readonly #counts = {
    finished: 0,
    retried: 0,
    poisonous: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    rejected: 0,
  };
  #onIdle: (() => void)[] = [];

  constructor(options: JobQueueOptions) {
    this.#runner = options.runner;
    this.#limit = options.queueLimit;
    this.#refusal = options.refusal;
    this.#unsavedCount = options.unsavedCount ?? (() => 0);
    this.#quarantine = options.quarantine ?? new Quarantine({ durationMs: 0 });
    this.#deathLimit = options.deathLimit;
    this.#observer = options.observer ?? NO_OBSERVER;
    this.#runner.onCredit(() => {
      this.#pump();
    });
  }

  submit(spec: JobSpec, options: SubmitOptions): JobHandle {
    this.#admit(spec);
    if (options.signal?.aborted === true) throw new AppError("cancelled", "The caller went away.");
    const job = new Job(spec, options, (settled, error) => {
      this.#forget(settled, error);
    });
    this.#open.add(job);
    this.#line.push(job);
    this.#pump();
    return job;
  }

  report(): QueueReport {
    const jobs = [...this.#open];
    return {
      limit: this.#limit,
      openJobs: jobs.length,
      waitingImages: jobs.reduce((sum, job) => sum + job.waitingCount, 0),
      runningImages: jobs.reduce((sum, job) => sum + job.runningCount, 0),
      finishedImages: this.#counts.finished,
      retriedImages: this.#counts.retried,
      poisonousImages: this.#counts.poisonous,
      quarantinedPrompts: this.#quarantine.size,
      completedJobs: this.#counts.completed,
      failedJobs: this.#counts.failed,
      cancelledJobs: this.#counts.cancelled,
      rejectedJobs: this.#counts.rejected,
    };
  }

  /** Why a request for `imageCount` images would get 429 now, or null when there is room. */
  describeFull(imageCount: number): AppError | null {
    const { waitingImages, runningImages } = this.report();
    const heldImages = waitingImages + this.#unsavedCount();
    const overCount = heldImages + imageCount - this.#limit;
    if (heldImages + runningImages === 0 || overCount <= 0) return null;
    return new AppError(
      "queue_full",
      `The queue is full: ${heldImages} images wait and at most ${this.#limit} may, so ${imageCount} more do not fit now.`,
      { retryAfterS: this.#pace.estimateS(Math.min(overCount, heldImages + runningImages)) },
    );
  }

  /** Ends every open job with `error`. */
  failAll(error: AppError): void {
    for (const job of [...this.#open]) job.fail(error);
  }

  /** Waits until every open job has ended; those that have not after `timeoutMs` are failed. */
  async drain(timeoutMs: number): Promise<void> {
    if (this.#open.size === 0) return;
    const idle = new Promise<void>((resolve) => this.#onIdle.push(resolve));
    const timer = setTimeout(() => {
      this.failAll(
        new AppError("shutting_down", "The server stopped before the images were made."),
      );
    }, timeoutMs);
    await idle;
    clearTimeout(timer);
  }

  #admit({ prompt, seeds }: JobSpec): void {
    const refusal =
      this.#refusal() ?? this.#quarantine.refusal(prompt) ?? this.describeFull(seeds.length);
    if (refusal === null) return;
    this.#counts.rejected += 1;
    throw refusal;
  }

  /** Starts waiting tasks while the runner has credits, suspects first. */
  #pump(): void {
    this.#pumpSuspects();
    while (this.#runner.freeCredits() > 0) {
      const job = this.#line.shift();
      if (job === undefined) return;
      const task = job.takeTask();
      if (job.isRetryNext) this.#line.unshift(job);
      else if (job.hasFreshTask) this.#line.push(job);
      if (task !== null) void this.#runTask(job, task, false);
    }
  }

  #pumpSuspects(): void {
    this.#runner.isolate(this.#suspectLine.length > 0);
    while (this.#suspectLine.length > 0 && this.#runner.canRunAlone()) {
      const [job] = this.#suspectLine;
      const task = job?.takeSuspect() ?? null;
      if (job?.hasSuspect !== true) this.#suspectLine.shift();
      if (job !== undefined && task !== null) void this.#runTask(job, task, true);
    }
    this.#runner.isolate(this.#suspectLine.length > 0);
  }

  async #runTask(job: Job, task: TakenTask, isAlone: boolean): Promise<void> {
    const startedMs = performance.now();
    if (task.attempt === 1) this.#observer.observeWait(job.ageMs() / 1000);
    try {
      const image = await this.#runner.run(
        {
          taskId: task.taskId,
          attempt: task.attempt,
          prompt: job.prompt,
          seed: job.seedOf(task.index),
          sampling: job.sampling,
          deadlineInMs: job.remainingMs(),
        },
        { signal: task.signal, isAlone },
      );
      if (job.state === "open") {
        this.#pace.add(performance.now() - startedMs, this.report().runningImages);
        this.#counts.finished += 1;
        this.#observer.observeImage(image.seconds);
        job.finishTask(task.index, image);
      }
    } catch (error) {
      if (job.state === "open") this.#handleFailure(job, task, error);
    }
    this.#pump();
  }

  #handleFailure(job: Job, task: TakenTask, error: unknown): void {
    if (hasCode(error, "task_returned")) {
      this.#counts.retried += 1;
      job.returnTask(task.index);
      remove(this.#line, job);
      this.#line.unshift(job);
    } else if (!hasCode(error, "sidecar_lost")) {
      job.fail(toTaskError(error));
    } else if (job.countDeath(task.index) < this.#deathLimit) {
      this.#counts.retried += 1;
      job.suspectTask(task.index);
      if (!this.#suspectLine.includes(job)) this.#suspectLine.push(job);
    } else {
      this.#condemn(job, task, error);
    }
  }

  /** Ends the job of a task that ends the sidecar, and every other job of the same prompt. */
  #condemn(job: Job, task: TakenTask, cause: AppError): void {
    this.#counts.poisonous += 1;
    this.#quarantine.add(job.prompt);
    const message = `The sidecar died ${this.#deathLimit} times while it made image ${task.index + 1} of this request. The same request is likely to fail again.`;
    job.fail(new AppError("sidecar_crashed", message, { cause }));
    const refusal = this.#quarantine.refusal(job.prompt);
    if (refusal === null) return;
    for (const other of [...this.#open]) if (other.prompt === job.prompt) other.fail(refusal);
  }

  #forget(job: Job, error: AppError | null): void {
    this.#open.delete(job);
    remove(this.#line, job);
    remove(this.#suspectLine, job);
    if (error === null) this.#counts.completed += 1;
    else if (error.code === "cancelled") this.#counts.cancelled += 1;
    else this.#counts.failed += 1;
    if (this.#open.size > 0) return;
    const waiters = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiters) resolve();
  }
}

function remove(line: Job[], job: Job): void {
  const position = line.indexOf(job);
  if (position !== -1) line.splice(position, 1);
}

function toTaskError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return new AppError("internal_error", "A fault of the server ended the request.", {
    cause: error,
  });
}
