import { AppError, hasCode } from "../errors.js";
import type { Encoder } from "../images/encode.js";
import { Listeners } from "../sidecar/listeners.js";
import type { Seat, SeatKind, TaskRunner } from "../sidecar/task.js";
import type { Admission } from "./admission.js";
import type { Broker, JobHandle, JobSpec, QueueReport } from "./broker.js";
import type { JobEvent, JobListener } from "./events.js";
import { Job, type JobTask, type TaskState } from "./job.js";
import type { Quarantine } from "./quarantine.js";
import { Schedule } from "./schedule.js";
import { WaitEstimate } from "./wait-estimate.js";

export interface JobQueueOptions {
  readonly runner: TaskRunner;
  readonly encoder: Encoder;
  readonly admission: Admission;
  /** Where the prompts of tasks go that end the sidecar. */
  readonly quarantine: Quarantine;
  /** How many images may wait for a seat. */
  readonly queueLimit: number;
  /** How many sidecars a task may end before its job fails. */
  readonly deathLimit: number;
  /** Images that are made but not saved yet: they take room as well, for a slow disk must not fill the memory. */
  readonly unsavedCount: () => number;
}

/**
 * The bounded queue between requests and sidecars: the broker of one machine.
 *
 * Jobs take turns: each gives one task, then goes to the end of the line, so a request for one image
 * never waits for all of a request for a hundred. A task whose sidecar died is a suspect: it runs once
 * more, with the same seed and before all others, in a sidecar that has nothing else to do. If that
 * dies too, its job fails and its prompt is refused for a time; its neighbours are proved innocent.
 * A task that fails for another reason fails its job.
 */
export class JobQueue implements Broker {
  readonly #options: JobQueueOptions;
  readonly #listeners = new Listeners<JobEvent>();
  readonly #idleListeners = new Listeners();
  readonly #open = new Set<Job>();
  readonly #schedule = new Schedule();
  readonly #waitEstimate = new WaitEstimate();
  readonly #counts = {
    finishedImages: 0,
    retriedImages: 0,
    poisonousImages: 0,
    completedJobs: 0,
    failedJobs: 0,
    cancelledJobs: 0,
    rejectedJobs: 0,
  };

  constructor(options: JobQueueOptions) {
    this.#options = options;
    options.runner.onSeat(() => {
      this.#pump();
    });
    options.admission.onHopeless((error) => {
      this.failAll(error);
    });
  }

  submit(spec: JobSpec, listener: JobListener): JobHandle {
    const { admission, quarantine } = this.#options;
    const refusal =
      admission.refusal() ?? quarantine.refusal(spec.prompt) ?? this.refusal(spec.seeds.length);
    if (refusal !== null) {
      this.#counts.rejectedJobs += 1;
      throw refusal;
    }
    const job: Job = new Job(spec, (event) => {
      if (event.type === "image") this.#counts.finishedImages += 1;
      else if (event.type === "completed") this.#remove(job, null);
      else if (event.type === "failed") this.#remove(job, event.error);
      listener(event);
      this.#listeners.notify(event);
    });
    this.#open.add(job);
    this.#schedule.add(job);
    this.#pump();
    return job;
  }

  onEvent(listener: JobListener): () => void {
    return this.#listeners.add(listener);
  }

  report(): QueueReport {
    return {
      limit: this.#options.queueLimit,
      openJobs: this.#open.size,
      waitingImages: this.#countTasks("waiting", "suspect"),
      runningImages: this.#countTasks("running"),
      quarantinedPrompts: this.#options.quarantine.size,
      ...this.#counts,
    };
  }

  /** Why a request for `imageCount` images would not fit now, or null when there is room. */
  refusal(imageCount: number): AppError | null {
    const { queueLimit, unsavedCount } = this.#options;
    const heldCount = this.#countTasks("waiting", "suspect") + unsavedCount();
    const runningCount = this.#countTasks("running");
    const overCount = heldCount + imageCount - queueLimit;
    if (heldCount + runningCount === 0 || overCount <= 0) return null;
    return new AppError(
      "queue_full",
      `The queue is full: ${heldCount} images wait and at most ${queueLimit} may, so ${imageCount} more do not fit now.`,
      { retryAfterS: this.#waitEstimate.seconds(Math.min(overCount, heldCount + runningCount)) },
    );
  }

  /** Why a request for one image would not run at once, or null when it would. */
  readyRefusal(): AppError | null {
    return this.#options.admission.readyRefusal() ?? this.refusal(1);
  }

  /** Ends every open job with `error`. */
  failAll(error: AppError): void {
    for (const job of [...this.#open]) job.fail(error);
  }

  /** Waits until every open job has ended; those that have not after `timeoutMs` are failed. */
  async drain(timeoutMs: number): Promise<void> {
    if (this.#open.size === 0) return;
    const timer = setTimeout(() => {
      this.failAll(
        new AppError("shutting_down", "The server stopped before the images were made."),
      );
    }, timeoutMs);
    await new Promise<void>((resolve) => this.#idleListeners.add(resolve));
    clearTimeout(timer);
  }

  #countTasks(...states: readonly TaskState[]): number {
    let count = 0;
    for (const { tasks } of this.#open)
      for (const { state } of tasks) if (states.includes(state)) count += 1;
    return count;
  }

  /** Starts waiting tasks while there are seats, suspects first. */
  #pump(): void {
    const { runner } = this.#options;
    runner.reserve(this.#schedule.nextSuspect() !== null);
    while (this.#startTask(this.#schedule.nextSuspect(), "alone"));
    runner.reserve(this.#schedule.nextSuspect() !== null);
    while (this.#startTask(this.#schedule.next(), "shared"));
  }

  /** False when there is no task, or no seat for it. */
  #startTask(task: JobTask | null, kind: SeatKind): boolean {
    const seat = task === null ? null : this.#options.runner.takeSeat(kind);
    if (task === null || seat === null) return false;
    this.#schedule.take(task);
    void this.#run(task, seat);
    return true;
  }

  async #run(task: JobTask, seat: Seat): Promise<void> {
    const { job } = task;
    const startedMs = performance.now();
    try {
      const { rgb, ...facts } = await seat.run(task, {
        signal: job.signal,
        onProgress: (tokens) => {
          job.progress(task, tokens);
        },
      });
      const encoded = await this.#options.encoder.encode({ rgb, ...facts }, job.spec.output);
      if (job.isOpen)
        this.#waitEstimate.add(performance.now() - startedMs, this.#countTasks("running"));
      job.finish(task, { ...facts, ...encoded });
    } catch (error) {
      if (job.isOpen) this.#handleFailure(task, error);
    }
    this.#pump();
  }

  #handleFailure(task: JobTask, error: unknown): void {
    const { job } = task;
    if (hasCode(error, "task_returned")) {
      this.#counts.retriedImages += 1;
      this.#schedule.putBack(task);
    } else if (!hasCode(error, "sidecar_lost")) {
      job.fail(toTaskError(error));
    } else {
      task.deaths += 1;
      if (task.deaths >= this.#options.deathLimit) {
        this.#condemn(task, error);
        return;
      }
      this.#counts.retriedImages += 1;
      this.#schedule.suspect(task);
    }
  }

  /** Ends the job of a task that ends the sidecar, and every other job of the same prompt. */
  #condemn({ job, index }: JobTask, cause: AppError): void {
    const { quarantine, deathLimit } = this.#options;
    this.#counts.poisonousImages += 1;
    quarantine.add(job.spec.prompt);
    const message = `The sidecar died ${deathLimit} times while it made image ${index + 1} of this request. The same request is likely to fail again.`;
    job.fail(new AppError("sidecar_crashed", message, { cause }));
    const refusal = quarantine.refusal(job.spec.prompt);
    if (refusal === null) return;
    for (const other of [...this.#open])
      if (other.spec.prompt === job.spec.prompt) other.fail(refusal);
  }

  #remove(job: Job, error: AppError | null): void {
    this.#open.delete(job);
    this.#schedule.remove(job);
    if (error === null) this.#counts.completedJobs += 1;
    else if (error.code === "cancelled") this.#counts.cancelledJobs += 1;
    else this.#counts.failedJobs += 1;
    if (this.#open.size === 0) this.#idleListeners.notify();
  }
}

function toTaskError(cause: unknown): AppError {
  if (cause instanceof AppError) return cause;
  return new AppError("internal_error", "A fault of the server ended the request.", { cause });
}
