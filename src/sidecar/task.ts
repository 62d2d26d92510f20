/** One image to make, the image that it becomes, and the port to the sidecars that make images. */
import type { SamplingLimits, SamplingSettings } from "../wire/messages.js";

export type { SamplingLimits, SamplingSettings };

/** One image to make. */
export interface Task {
  /** 1 to 128 printable ASCII characters, unique among all tasks. */
  readonly taskId: string;
  /** 1 for the first try. */
  readonly attempt: number;
  /** Well-formed Unicode. */
  readonly prompt: string;
  /** 0..2^32-1; the same seed gives the same image. */
  readonly seed: number;
  readonly sampling: SamplingSettings;
  /** Time from now until the image must be there; the sidecar counts it as well. */
  readonly deadlineInMs: number;
}

/** An image as the sidecar made it. */
export interface TaskImage {
  readonly width: number;
  readonly height: number;
  readonly seed: number;
  /** Raw RGB, u8, row by row: width * height * 3 bytes. */
  readonly rgb: Uint8Array;
  /** How many tokens of the prompt were live. */
  readonly textTokens: number;
  readonly imageTokens: number;
  /** From the start of the decoding to the finished pixels. */
  readonly seconds: number;
}

export interface RunOptions {
  /** Ends the wait for the image; its reason is what `run` rejects with. */
  readonly signal: AbortSignal;
  /** Called after each chunk with the number of image tokens so far. */
  readonly onProgress?: (tokenCount: number) => void;
}

/** A free place in a sidecar. It reserves nothing: it is used at once or dropped. */
export interface Seat {
  /**
   * Makes one image.
   *
   * Rejects with an AppError: `sidecar_lost` (the sidecar died while it had the task), `task_returned`
   * (it ended, or was never reached; the task is innocent), `generation_failed`, `invalid_value`,
   * `deadline_exceeded`, `shutting_down`, or with the reason of the signal.
   */
  run(task: Task, options: RunOptions): Promise<TaskImage>;
}

/** Beside other tasks, or in a sidecar that has no other task and gets none meanwhile. */
export type SeatKind = "shared" | "alone";

/** Something that makes images, as many at once as it has seats. */
export interface TaskRunner {
  /** A free seat, or null when there is none now. */
  takeSeat(kind: SeatKind): Seat | null;
  /** While wanted, one sidecar gives no more shared seats, so that a task can have it alone. */
  reserve(isWanted: boolean): void;
  /** Calls `listener` whenever there may be another free seat; returns what removes it. */
  onSeat(listener: () => void): () => void;
}
