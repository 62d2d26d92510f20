import { AppError, type ErrorCode } from "../../errors.js";
import { ProtocolError } from "../../wire/frames.js";
import type {
  Accepted,
  DownMessage,
  Failed,
  Image,
  Progress,
  Rejected,
} from "../../wire/messages.js";
import { createReturnError } from "../failure.js";
import type { RunOptions, Task, TaskImage } from "../task.js";

/** What the answers of a sidecar mean to the caller. What is not here is `generation_failed`. */
const ERROR_OF_CODE: ReadonlyMap<string, ErrorCode> = new Map([
  ["prompt_invalid", "invalid_value"],
  ["setting_invalid", "invalid_value"],
  ["deadline_exceeded", "deadline_exceeded"],
  ["cancelled", "cancelled"],
  ["draining", "task_returned"],
]);

interface PendingTasksOptions {
  readonly send: (message: DownMessage) => Promise<void>;
  /** How long the sidecar may take to say ACCEPTED or REJECTED. */
  readonly acceptLimitMs: number;
  readonly onOverdue: (taskId: string) => void;
  /** A task could not be sent: the sidecar is gone, or does not read. */
  readonly onUnreachable: (error: unknown) => void;
  /** Called after a task has left the table. */
  readonly onFreed: () => void;
}

/** A task that the sidecar has and has not answered. */
interface PendingTask extends RunOptions {
  readonly attempt: number;
  readonly acceptTimer: NodeJS.Timeout;
  readonly resolve: (image: TaskImage) => void;
  readonly reject: (error: AppError) => void;
  readonly onAbort: () => void;
}

/**
 * Correlates the answers of one sidecar with the tasks that it was sent.
 *
 * A task whose signal aborts is rejected at once, but stays here until the sidecar has let go of it:
 * until then it occupies a seat.
 */
export class PendingTasks {
  readonly #options: PendingTasksOptions;
  readonly #pending = new Map<string, PendingTask>();
  #finishedCount = 0;

  constructor(options: PendingTasksOptions) {
    this.#options = options;
  }

  /** Tasks that the sidecar has, cancelled ones included until it lets go of them. */
  get size(): number {
    return this.#pending.size;
  }

  /** Images that have arrived. */
  get finishedCount(): number {
    return this.#finishedCount;
  }

  /** Sends a task; it is in the table before this returns. */
  run(task: Task, { signal, ...options }: RunOptions): Promise<TaskImage> {
    const { taskId, attempt } = task;
    return new Promise((resolve, reject) => {
      if (signal.aborted) throw toAbortError(signal);
      if (this.#pending.has(taskId)) {
        throw new AppError("internal_error", `${taskId} is already running`);
      }
      const onAbort = () => {
        // The accept timer goes on, for the sidecar still has to answer.
        reject(toAbortError(signal));
        void this.#sendCancel(taskId);
      };
      const acceptTimer = setTimeout(() => {
        this.#options.onOverdue(taskId);
      }, this.#options.acceptLimitMs);
      signal.addEventListener("abort", onAbort, { once: true });
      const pending = { ...options, signal, attempt, acceptTimer, resolve, reject, onAbort };
      this.#pending.set(taskId, pending);
      void this.#sendTask(task, pending);
    });
  }

  /** Takes an answer; false when no task waits for it (a duplicate, or one that comes too late). */
  receive(answer: Accepted | Rejected | Image | Failed): boolean {
    const { taskId } = answer;
    if (taskId === null) return false;
    const pending = this.#pending.get(taskId);
    if (pending?.attempt !== answer.attempt) return false;
    if (answer.type === "ACCEPTED") {
      clearTimeout(pending.acceptTimer);
      return true;
    }
    this.#remove(taskId, pending);
    if (answer.type === "IMAGE") {
      this.#finishedCount += 1;
      pending.resolve(toTaskImage(answer));
    } else {
      pending.reject(createTaskError(answer));
    }
    this.#options.onFreed();
    return true;
  }

  progress({ tasks }: Progress): void {
    for (const [taskId, tokenCount] of tasks) this.#pending.get(taskId)?.onProgress?.(tokenCount);
  }

  /** Ends every task. */
  failAll(error: AppError): void {
    for (const [taskId, pending] of [...this.#pending]) {
      this.#remove(taskId, pending);
      pending.reject(error);
    }
  }

  async #sendTask(task: Task, pending: PendingTask): Promise<void> {
    try {
      await this.#options.send(toGenerate(task));
    } catch (error) {
      if (this.#pending.get(task.taskId) !== pending) return;
      this.#remove(task.taskId, pending);
      if (error instanceof ProtocolError) {
        const message = `The request does not fit into a message to the sidecar: ${error.message}.`;
        pending.reject(new AppError("invalid_value", message, { cause: error }));
      } else {
        this.#options.onUnreachable(error);
        pending.reject(createReturnError(error));
      }
      this.#options.onFreed();
    }
  }

  /** A peer that is gone is noticed by its exit. */
  async #sendCancel(taskId: string): Promise<void> {
    await this.#options.send({ type: "CANCEL", taskId }).catch(() => undefined);
  }

  #remove(taskId: string, { acceptTimer, signal, onAbort }: PendingTask): void {
    this.#pending.delete(taskId);
    clearTimeout(acceptTimer);
    signal.removeEventListener("abort", onAbort);
  }
}

function toGenerate(task: Task): DownMessage {
  return {
    type: "GENERATE",
    taskId: task.taskId,
    attempt: task.attempt,
    prompt: task.prompt,
    seed: task.seed,
    sampling: task.sampling,
    previewEvery: 0,
    deadlineInMs: Math.max(0, Math.ceil(task.deadlineInMs)),
  };
}

function toTaskImage({ width, height, seed, payload, ...image }: Image): TaskImage {
  const { textTokens, imageTokens, seconds } = image;
  return { width, height, seed, rgb: payload, textTokens, imageTokens, seconds };
}

function toAbortError({ reason }: AbortSignal): AppError {
  if (reason instanceof AppError) return reason;
  return new AppError("cancelled", "The task was cancelled.", { cause: reason });
}

function createTaskError(answer: Rejected | Failed): AppError {
  const isLast = answer.type === "FAILED" && answer.fatal && answer.retryable;
  const code = isLast ? "sidecar_lost" : (ERROR_OF_CODE.get(answer.code) ?? "generation_failed");
  // Only what concerns the request itself is for the client.
  const message =
    code === "invalid_value" ? answer.message : `The image was not made (${answer.code}).`;
  return new AppError(code, message, { cause: new Error(`${answer.code}: ${answer.message}`) });
}
