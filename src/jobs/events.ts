import type { AppError } from "../errors.js";
import type { EncodedImage } from "../images/encode.js";
import type { TaskImage } from "../sidecar/task.js";

/** A finished image of a job, with what is known about how it was made. */
export type JobImage = EncodedImage & Omit<TaskImage, "rgb">;

/**
 * What happens to a job, in order. `index` is the place of an image in the job. The last event is
 * `completed` or `failed`, and it comes exactly once.
 */
export type JobEvent =
  /** A task was sent to a sidecar for the first time, `waitedS` seconds after the job came. */
  | { readonly type: "started"; readonly index: number; readonly waitedS: number }
  /** A task has `tokens` image tokens, `newTokens` more than at the last event about it. */
  | {
      readonly type: "progress";
      readonly index: number;
      readonly tokens: number;
      readonly newTokens: number;
    }
  | { readonly type: "image"; readonly index: number; readonly image: JobImage }
  | { readonly type: "completed" }
  | { readonly type: "failed"; readonly error: AppError };

export type JobListener = (event: JobEvent) => void;
