import type { Beat } from "../../wire/messages.js";
import { createFailure, type Failure } from "../failure.js";

/** Checks of the silence within one beat interval, so that a silence is noticed soon after its limit. */
const CHECKS_PER_BEAT = 4;
/** Extra checks beyond the limit: an answer needs time to arrive. */
const SPARE_CHECKS = 2;

export interface LivenessLimits {
  readonly beatIntervalMs: number;
  /** This many intervals (and a half) without any frame, once ready, mean a frozen process. */
  readonly missedBeatLimit: number;
  /** The same before READY: reading a checkpoint may hold Python's lock for long. */
  readonly startMissedBeatLimit: number;
  /** How long the compute thread may take from one step to the next, by phase; a phase without an entry has no limit. */
  readonly phaseBudgetMs: Readonly<Partial<Record<Beat["phase"], number>>>;
}

interface LivenessOptions {
  readonly limits: LivenessLimits;
  readonly ping: (sequence: number) => void;
  readonly onDead: (failure: Failure) => void;
}

/**
 * Watches that the I/O thread sends anything at all, and that the compute thread makes progress.
 *
 * Silence is counted in ticks of our own timer, not in time: when this process itself was stopped
 * (a debugger, a suspended machine), that is one tick and not a dead sidecar.
 */
export class Liveness {
  readonly #options: LivenessOptions;
  #timer: NodeJS.Timeout | null = null;
  /** Asks once more at the moment when the running step is over its budget. */
  #budgetTimer: NodeJS.Timeout | undefined;
  #sequence = 0;
  #checkCount = 0;
  #silentChecks = 0;
  #isReady = false;
  #lastFrameMs = performance.now();
  /** When the last step was, as the last beat has it; null when there was nothing to do. */
  #lastStepMs: number | null = null;

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  /** Time since the last frame. */
  get silenceMs(): number {
    return performance.now() - this.#lastFrameMs;
  }

  /** Time since the last step of the compute thread, in whole milliseconds; null while it is idle. */
  get stepAgeMs(): number | null {
    return this.#lastStepMs === null ? null : Math.round(performance.now() - this.#lastStepMs);
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#tick();
    }, this.#options.limits.beatIntervalMs / CHECKS_PER_BEAT);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    clearTimeout(this.#budgetTimer);
  }

  /** From now on the shorter limit of silence holds. */
  noteReady(): void {
    this.#isReady = true;
  }

  /** Any frame is a sign of life. */
  noteFrame(): void {
    this.#silentChecks = 0;
    this.#lastFrameMs = performance.now();
  }

  noteBeat({ phase, stepAgeMs }: Beat): void {
    this.#lastStepMs = phase === "idle" ? null : performance.now() - stepAgeMs;
    clearTimeout(this.#budgetTimer);
    const budgetMs = this.#options.limits.phaseBudgetMs[phase];
    if (budgetMs === undefined) return;
    if (stepAgeMs <= budgetMs) {
      this.#askAfter(budgetMs - stepAgeMs + 1);
      return;
    }
    const message = `the sidecar has made no step for ${stepAgeMs} ms in phase ${phase}, more than the ${budgetMs} ms of it`;
    this.#options.onDead(createFailure("hung", message));
  }

  /**
   * The last beat is old when the budget ends, and the next may be a whole interval away. So the sidecar
   * is pinged at that moment; only its answer shows that there was no step meanwhile.
   */
  #askAfter(delayMs: number): void {
    if (this.#timer === null || delayMs >= this.#options.limits.beatIntervalMs) return;
    this.#budgetTimer = setTimeout(() => {
      this.#ping();
    }, delayMs);
  }

  #ping(): void {
    this.#sequence += 1;
    this.#options.ping(this.#sequence);
  }

  #tick(): void {
    const { limits, onDead } = this.#options;
    const limit = this.#isReady ? limits.missedBeatLimit : limits.startMissedBeatLimit;
    this.#checkCount += 1;
    this.#silentChecks += 1;
    if (this.#silentChecks >= limit * CHECKS_PER_BEAT + SPARE_CHECKS) {
      const message = `the sidecar gave no sign of life for ${limit} beats of ${limits.beatIntervalMs} ms`;
      onDead(createFailure("silent", message));
      return;
    }
    if (this.#checkCount % CHECKS_PER_BEAT !== 0) return;
    this.#ping();
  }
}
