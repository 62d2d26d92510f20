export interface BackoffLimits {
  /** Upper limit of the first delay. */
  readonly backoffBaseMs: number;
  /** Upper limit of every delay. */
  readonly backoffCapMs: number;
}

/**
 * Exponential backoff with full jitter: each delay is uniform between 0 and a limit that doubles from
 * the base to the cap, so that the first restart is quick and many servers do not restart in step.
 */
export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #random: () => number;
  #limitMs: number;

  /** @param random - uniform in [0, 1). */
  constructor(limits: BackoffLimits, random: () => number = Math.random) {
    this.#limits = limits;
    this.#random = random;
    this.#limitMs = limits.backoffBaseMs;
  }

  /** The delay before the next try, in whole milliseconds. */
  nextMs(): number {
    const { backoffCapMs } = this.#limits;
    const limitMs = Math.min(this.#limitMs, backoffCapMs);
    this.#limitMs = Math.min(limitMs * 2, backoffCapMs);
    return Math.round(this.#random() * limitMs);
  }

  /** Starts again at the base. */
  reset(): void {
    this.#limitMs = this.#limits.backoffBaseMs;
  }
}
