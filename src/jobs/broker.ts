import type { SamplingLimits, SamplingSettings, TaskImage } from "../sidecar/task.js";

export type { SamplingLimits, SamplingSettings };

/** What a request becomes: one prompt, one seed for each image, and the time it may take. */
export interface JobSpec {
  readonly prompt: string;
  /** One seed (0..2^32-1) for each wanted image, in order. */
  readonly seeds: readonly number[];
  readonly sampling: SamplingSettings;
  /** Time from now until the last image must be there. */
  readonly deadlineInMs: number;
}

export interface SubmitOptions {
  /** Cancels the job when it aborts. */
  readonly signal?: AbortSignal;
  /** Called once for each image, in the order in which they are finished. */
  readonly onImage: (image: TaskImage, index: number) => void;
}

export interface JobHandle {
  readonly id: string;
  /** Resolves after the last `onImage`; rejects with an AppError and then calls `onImage` no more. */
  readonly done: Promise<void>;
}

export interface QueueReport {
  readonly limit: number;
  readonly openJobs: number;
  readonly waitingImages: number;
  readonly runningImages: number;
  readonly finishedImages: number;
  readonly retriedImages: number;
  /** Images whose making ended the sidecar too often. */
  readonly poisonousImages: number;
  /** Prompts that are refused for a time because of that. */
  readonly quarantinedPrompts: number;
  readonly completedJobs: number;
  readonly failedJobs: number;
  readonly cancelledJobs: number;
  readonly rejectedJobs: number;
}

/** Is told how long things took; every time is in seconds. */
export interface WorkObserver {
  /** An image left the queue for the first time, after so long. */
  observeWait(seconds: number): void;
  /** An image was made; from the start of its decoding to its pixels. */
  observeImage(seconds: number): void;
  /** So many images are drawn again, because they equalled others. */
  observeRedraws(imageCount: number): void;
}

/** For those who want to know nothing. */
export const NO_OBSERVER: WorkObserver = {
  observeWait: () => undefined,
  observeImage: () => undefined,
  observeRedraws: () => undefined,
};

/** The port between those who want pictures and whatever gets them made. */
export interface Broker {
  /** Takes a job, or throws an AppError at once: `queue_full`, `not_ready`, `shutting_down`. */
  submit(spec: JobSpec, options: SubmitOptions): JobHandle;
  report(): QueueReport;
}
