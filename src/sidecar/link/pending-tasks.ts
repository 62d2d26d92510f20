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
import { PendingTask } from "./pending-task.js";
import type { RunOptions, Task, TaskImage } from "../task.js";

/** What the answers of a sidecar mean for the one who asked. What is not here is `generation_failed`. */
const ERROR_OF_CODE: ReadonlyMap<string, ErrorCode> = new Map([
  ["prompt_invalid", "invalid_value"],
  ["setting_invalid", "invalid_value"],
  ["deadline_exceeded", "deadline_exceeded"],
  ["cancelled", "cancelled"],
  ["draining", "task_returned"],
]);

export interface TaskTableOptions {
  readonly send: (message: DownMessage) => Promise<void>;
  /** How long the sidecar may take to say ACCEPTED or REJECTED. */
  readonly acceptLimitMs: number;
  readonly onOverdue: (task: Task) => void;
  /** A task could not be sent: the sidecar is gone, or does not read. */
  readonly onUnreachable: (error: unknown) => void;
  /** Called after a task has left the table. */
  readonly onFreed: () => void;
}

/** Brings the answers of one sidecar to those who wait for them. */
export class PendingTasks {
  readonly #options: TaskTableOptions;
  readonly #pending = new Map<string, PendingTask>();
  #finishedCount = 0;

  constructor(options: TaskTableOptions) {
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
  run(task: Task, options: RunOptions): Promise<TaskImage> {
    if (options.signal.aborted) {
      return Promise.reject(new AppError("cancelled", "The task was cancelled."));
    }
    if (this.#pending.has(task.taskId)) {
      return Promise.reject(new AppError("internal_error", `${task.taskId} is already running`));
    }
    const pending = new PendingTask(task, options, this.#options.acceptLimitMs, {
      onOverdue: this.#options.onOverdue,
      onAbandoned: ({ taskId }) => {
        void this.#send({ type: "CANCEL", taskId });
      },
    });
    this.#pending.set(task.taskId, pending);
    void this.#submit(pending);
    return pending.image;
  }

  /** Takes an answer; false when nobody waits for it (a duplicate, or one that comes too late). */
  receive(message: Accepted | Rejected | Image | Failed): boolean {
    const pending = this.#find(message.taskId, message.attempt);
    if (pending === null) return false;
    switch (message.type) {
      case "ACCEPTED":
        pending.accept();
        return true;
      case "IMAGE":
        this.#finishedCount += 1;
        this.#remove(pending);
        pending.finish(toTaskImage(message));
        break;
      case "REJECTED":
      case "FAILED":
        this.#remove(pending);
        pending.fail(createTaskError(message));
        break;
    }
    this.#options.onFreed();
    return true;
  }

  progress({ tasks }: Progress): void {
    for (const [taskId, tokenCount] of tasks) this.#pending.get(taskId)?.progress(tokenCount);
  }

  /** Ends every task. */
  failAll(error: AppError): void {
    for (const pending of [...this.#pending.values()]) {
      this.#remove(pending);
      pending.fail(error);
    }
  }

  async #submit(pending: PendingTask): Promise<void> {
    try {
      await this.#options.send(toGenerate(pending.task));
    } catch (error) {
      if (this.#pending.get(pending.task.taskId) !== pending) return;
      this.#remove(pending);
      if (!(error instanceof ProtocolError)) this.#options.onUnreachable(error);
      pending.fail(createSendError(error));
      this.#options.onFreed();
    }
  }

  /** Sends what needs no answer; when the peer is gone, its exit tells us. */
  async #send(message: DownMessage): Promise<void> {
    await this.#options.send(message).catch(() => undefined);
  }

  #find(taskId: string | null, attempt: number | null): PendingTask | null {
    const pending = taskId === null ? undefined : this.#pending.get(taskId);
    return pending?.task.attempt === attempt ? pending : null;
  }

  #remove(pending: PendingTask): void {
    this.#pending.delete(pending.task.taskId);
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

function createTaskError(answer: Rejected | Failed): AppError {
  const isLast = answer.type === "FAILED" && answer.fatal && answer.retryable;
  const code = isLast ? "sidecar_lost" : (ERROR_OF_CODE.get(answer.code) ?? "generation_failed");
  // Only what is said about the request itself is meant for the eyes of the client.
  const message =
    code === "invalid_value" ? answer.message : `The image was not made (${answer.code}).`;
  return new AppError(code, message, { cause: new Error(`${answer.code}: ${answer.message}`) });
}

function createSendError(error: unknown): AppError {
  if (error instanceof ProtocolError) {
    const message = `The request does not fit into a message to the sidecar: ${error.message}.`;
    return new AppError("invalid_value", message, { cause: error });
  }
  return createReturnError(error);
}
