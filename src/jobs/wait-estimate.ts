/** Weight of the newest measurement in the running average. */
const NEWEST_WEIGHT = 0.2;
/** Assumed before the first image is finished. */
const FIRST_GUESS_MS = 2_000;
/** Clients of the OpenAI libraries ignore longer waits than a minute, or sleep through them. */
const MIN_WAIT_S = 1;
const MAX_WAIT_S = 60;

/** Learns how fast images leave the queue, for an honest Retry-After. */
export class WaitEstimate {
  #msPerImage: number | null = null;

  /** Adds one finished image: the time it took, and how many were made at the same time (itself too). */
  add(durationMs: number, runningCount: number): void {
    const measuredMs = durationMs / Math.max(1, runningCount);
    const previousMs = this.#msPerImage ?? measuredMs;
    this.#msPerImage = previousMs + NEWEST_WEIGHT * (measuredMs - previousMs);
  }

  /** Whole seconds, 1..60, after which `imageCount` more images should be finished. */
  seconds(imageCount: number): number {
    const waitMs = imageCount * (this.#msPerImage ?? FIRST_GUESS_MS);
    return Math.min(MAX_WAIT_S, Math.max(MIN_WAIT_S, Math.ceil(waitMs / 1000)));
  }
}
