import type { SamplingLimits, SamplingSettings } from "../wire/messages.js";

export type { SamplingLimits, SamplingSettings };

/** One image to make. */
export interface Task {
  /** 1 to 128 printable ASCII characters, never used for two tasks. */
  readonly taskId: string;
  /** 1 for the first try. */
  readonly attempt: number;
  readonly prompt: string;
  /** 0..2^32-1; the same seed gives the same image. */
  readonly seed: number;
  readonly sampling: SamplingSettings;
  /** Time from now until the image must be there. */
  readonly deadlineInMs: number;
}

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
  readonly signal: AbortSignal;
  /** Told after each chunk how many image tokens there are. */
  readonly onProgress?: (tokenCount: number) => void;
  /** Runs it in a sidecar that has nothing else to do; needs `canRunAlone`. */
  readonly isAlone?: boolean;
}

/** Something that makes images, as many at once as it has credits. */
export interface TaskRunner {
  /** How many tasks `run` would take now; 0 unless ready. */
  freeCredits(): number;
  /**
   * Makes one image; takes a credit before it returns.
   *
   * Rejects with an AppError: `sidecar_lost` (the sidecar died while it had the task), `task_returned`
   * (it ended, or was never reached; the task is innocent), `generation_failed`, `invalid_value`, `deadline_exceeded`, `cancelled`, `shutting_down`, or `not_ready` without a credit.
   */
  run(task: Task, options: RunOptions): Promise<TaskImage>;
  /** Whether `run` would take a task that has to be alone. */
  canRunAlone(): boolean;
  /** While wanted, one sidecar gets no new task but those that have to be alone. */
  isolate(isWanted: boolean): void;
  /** Calls `listener` whenever there may be more credits; returns what removes it. */
  onCredit(listener: () => void): () => void;
}
