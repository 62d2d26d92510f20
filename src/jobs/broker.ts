import type { EncodeOptions } from "../images/encode.js";
import type { SamplingLimits, SamplingSettings } from "../sidecar/task.js";
import type { JobListener } from "./events.js";

export type { SamplingLimits, SamplingSettings };

/** What a request becomes: one prompt, one seed for each image, and the time it may take. */
export interface JobSpec {
  /** Well-formed Unicode. */
  readonly prompt: string;
  /** One seed (0..2^32-1) for each wanted image, in order. */
  readonly seeds: readonly number[];
  readonly sampling: SamplingSettings;
  readonly output: EncodeOptions;
  /** Time from now until the last image must be there. */
  readonly deadlineInMs: number;
}

export interface JobHandle {
  readonly id: string;
  /** Ends the job with `cancelled`. Has no effect on a job that has ended. */
  cancel(): void;
}

/** The counts of the queue, as `/health_check` shows them. */
export interface QueueReport {
  readonly limit: number;
  readonly openJobs: number;
  readonly waitingImages: number;
  readonly runningImages: number;
  readonly finishedImages: number;
  readonly retriedImages: number;
  /** Images that ended the sidecar too often. */
  readonly poisonousImages: number;
  /** Prompts that are refused for a time because of that. */
  readonly quarantinedPrompts: number;
  readonly completedJobs: number;
  readonly failedJobs: number;
  readonly cancelledJobs: number;
  readonly rejectedJobs: number;
}

/** The port between the requests and whatever makes their images; it carries encoded images. */
export interface Broker {
  /**
   * Takes a job and calls `listener` with its events.
   *
   * @throws AppError when the job is not taken: `queue_full`, `not_ready`, `prompt_quarantined`,
   *   `shutting_down`.
   */
  submit(spec: JobSpec, listener: JobListener): JobHandle;
  /** Calls `listener` with the events of every job; returns what removes it. */
  onEvent(listener: JobListener): () => void;
  report(): QueueReport;
}
