/** The circuit breaker of the restarts: it stops them for a while when they fail too often. */

/**
 * - `closed`: restarts follow each other as the backoff says
 * - `open`: too many failures; nothing is started until the pause is over
 * - `half_open`: one trial runs; it decides what comes next
 */
export const BREAKER_STATES = ["closed", "open", "half_open"] as const;
type BreakerState = (typeof BREAKER_STATES)[number];

export interface BreakerStatus {
  readonly state: BreakerState;
  /** Failures that count now. */
  readonly recentFailures: number;
  /** Trials that failed since the breaker opened. */
  readonly failedTrials: number;
}

export interface BreakerLimits {
  /** This many failures within the window open it. */
  readonly breakerFailureLimit: number;
  readonly breakerWindowMs: number;
}

/** Stops a sidecar that keeps failing from being started again and again. Pure: it holds no timer. */
export class Breaker {
  readonly #limits: BreakerLimits;
  readonly #now: () => number;
  #failuresAtMs: number[] = [];
  #state: BreakerState = "closed";
  #failedTrials = 0;

  /** @param now - milliseconds on a clock that never goes back. */
  constructor(limits: BreakerLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  status(): BreakerStatus {
    this.#forgetOld();
    const recentFailures = this.#failuresAtMs.length;
    return { state: this.#state, recentFailures, failedTrials: this.#failedTrials };
  }

  /** Counts a failure; one during a trial opens the breaker at once. */
  noteFailure(): void {
    this.#failuresAtMs.push(this.#now());
    this.#forgetOld();
    if (this.#state === "half_open") {
      this.#failedTrials += 1;
      this.#state = "open";
    } else if (this.#failuresAtMs.length >= this.#limits.breakerFailureLimit) {
      this.#state = "open";
    }
  }

  /** The pause is over, or an operator wants it so: the next start is a trial. */
  startTrial(): void {
    if (this.#state === "open") this.#state = "half_open";
  }

  /** What runs has proved itself; true when that closed the breaker. */
  noteSuccess(): boolean {
    if (this.#state !== "half_open") return false;
    this.#state = "closed";
    this.#failedTrials = 0;
    this.#failuresAtMs = [];
    return true;
  }

  #forgetOld(): void {
    const oldestMs = this.#now() - this.#limits.breakerWindowMs;
    this.#failuresAtMs = this.#failuresAtMs.filter((atMs) => atMs > oldestMs);
  }
}
