export interface BackoffOptions {
  /** Upper limit of the first delay. */
  readonly baseMs: number;
  /** Upper limit of every delay. */
  readonly capMs: number;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/**
 * Exponential backoff with full jitter: each delay is uniform between 0 and a limit that doubles from
 * `baseMs` to `capMs`, so that the first restart is quick and many servers do not restart in step.
 */
export class Backoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: () => number;
  #limitMs: number;

  constructor({ baseMs, capMs, random = Math.random }: BackoffOptions) {
    this.#baseMs = baseMs;
    this.#capMs = capMs;
    this.#random = random;
    this.#limitMs = baseMs;
  }

  /** The delay before the next try, in whole milliseconds. */
  nextMs(): number {
    const limitMs = Math.min(this.#limitMs, this.#capMs);
    this.#limitMs = Math.min(this.#limitMs * 2, this.#capMs);
    return Math.round(this.#random() * limitMs);
  }

  /** Starts again at `baseMs`. */
  reset(): void {
    this.#limitMs = this.#baseMs;
  }
}
