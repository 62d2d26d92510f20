import { AppError } from "../../errors.js";
import type { RunOptions, Task, TaskImage } from "../task.js";

/** The longest timer that Node has. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface PendingTaskEvents {
  /** The sidecar has not said in time whether it takes the task. */
  readonly onOverdue: (task: Task) => void;
  /** Nobody waits for the image any more; the sidecar does not know that yet. */
  readonly onAbandoned: (task: Task) => void;
}

/**
 * A task that the sidecar has and has not answered.
 *
 * Its promise settles once; the task itself stays here until the sidecar is done with it, because
 * until then it holds a credit.
 */
export class PendingTask {
  readonly task: Task;
  readonly image: Promise<TaskImage>;
  readonly #options: RunOptions;
  readonly #events: PendingTaskEvents;
  readonly #settle: PromiseSettler;
  readonly #acceptTimer: NodeJS.Timeout;
  readonly #deadlineTimer: NodeJS.Timeout;
  readonly #onAbort = () => {
    this.#abandon(new AppError("cancelled", "The task was cancelled."));
  };
  #isSettled = false;

  constructor(task: Task, options: RunOptions, acceptLimitMs: number, events: PendingTaskEvents) {
    this.task = task;
    this.#options = options;
    this.#events = events;
    const { promise, settler } = createPromise();
    this.image = promise;
    this.#settle = settler;
    this.#acceptTimer = setTimeout(() => {
      events.onOverdue(task);
    }, acceptLimitMs);
    this.#deadlineTimer = setTimeout(
      () => {
        const message = "The image was not made within the time of the request.";
        this.#abandon(new AppError("deadline_exceeded", message));
      },
      Math.min(Math.max(0, task.deadlineInMs), MAX_TIMER_MS),
    );
    options.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** The sidecar has taken the task. */
  accept(): void {
    clearTimeout(this.#acceptTimer);
  }

  progress(tokenCount: number): void {
    if (!this.#isSettled) this.#options.onProgress?.(tokenCount);
  }

  finish(image: TaskImage): void {
    this.#end();
    this.#settle.resolve(image);
  }

  fail(error: AppError): void {
    this.#end();
    this.#settle.reject(error);
  }

  /** Settles the promise; the accept timer goes on, for the sidecar still has to answer. */
  #abandon(error: AppError): void {
    if (this.#isSettled) return;
    this.#stopWaiting();
    this.#settle.reject(error);
    this.#events.onAbandoned(this.task);
  }

  #end(): void {
    clearTimeout(this.#acceptTimer);
    this.#stopWaiting();
  }

  #stopWaiting(): void {
    this.#isSettled = true;
    clearTimeout(this.#deadlineTimer);
    this.#options.signal.removeEventListener("abort", this.#onAbort);
  }
}

interface PromiseSettler {
  readonly resolve: (image: TaskImage) => void;
  readonly reject: (error: AppError) => void;
}

/** Both ends of a promise. Settling it a second time does nothing. */
function createPromise(): { promise: Promise<TaskImage>; settler: PromiseSettler } {
  let settler: PromiseSettler | undefined;
  const promise = new Promise<TaskImage>((resolve, reject) => {
    settler = { resolve, reject };
  });
  if (settler === undefined) throw new Error("a promise starts at once");
  return { promise, settler };
}
