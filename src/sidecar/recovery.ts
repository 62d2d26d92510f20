import { Backoff } from "./backoff.js";
import { Breaker, type BreakerStatus } from "./breaker.js";
import type { GenerationEnd } from "./generation.js";
import type { LifeLog, Spawn } from "./life-log.js";
import type { SupervisionLimits } from "./options.js";
import type { LastFailure } from "./status.js";

/** When the next start is: after so many milliseconds, at once, or when someone asks for it. */
export type Pause = number | "none" | "for_ever";

/** Decides what follows the end of a sidecar, and remembers why it ended. */
export class Recovery {
  readonly #limits: SupervisionLimits;
  readonly #life: LifeLog;
  readonly #backoff: Backoff;
  readonly #breaker: Breaker;
  #lastFailure: LastFailure | null = null;
  /** On the clock that never goes back, as everything that is waited for. */
  #nextTryAtMs: number | null = null;

  constructor(limits: SupervisionLimits, life: LifeLog, random: (() => number) | undefined) {
    this.#limits = limits;
    this.#life = life;
    this.#backoff = new Backoff({
      baseMs: limits.backoffBaseMs,
      capMs: limits.backoffCapMs,
      ...(random === undefined ? {} : { random }),
    });
    this.#breaker = new Breaker({
      failureLimit: limits.breakerFailureLimit,
      windowMs: limits.breakerWindowMs,
    });
  }

  get lastFailure(): LastFailure | null {
    return this.#lastFailure;
  }

  /** When the pause is over, in epoch milliseconds: right even after the machine's clock was set. */
  nextTryAt(): number | null {
    if (this.#nextTryAtMs === null) return null;
    return Math.round(Date.now() + this.#nextTryAtMs - performance.now());
  }

  breaker(): BreakerStatus {
    return this.#breaker.status();
  }

  /** A spawn is about to start. */
  noteStart(): void {
    this.#nextTryAtMs = null;
    this.#breaker.startTrial();
  }

  /** The running spawn made an image, or was ready for long enough. */
  noteSuccess(spawn: Spawn): void {
    if (this.#breaker.noteSuccess()) this.#life.breakerClosed(spawn);
  }

  /** The spawn that ended had been ready for long and had made an image. */
  noteProven(): void {
    this.#backoff.reset();
  }

  /** Remembers and logs how a spawn ended, and says when to start the next. */
  judge({ failure, noticedAt, lastLines }: GenerationEnd, spawn: Spawn): Pause {
    if (failure === null) {
      this.#life.ended(spawn);
      return "none";
    }
    const { code, message } = failure;
    this.#lastFailure = { code, reason: [message, ...lastLines].join("\n"), at: noticedAt };
    if (failure.isPermanent) {
      this.#life.gaveUp(spawn, failure, lastLines);
      return "for_ever";
    }
    this.#breaker.noteFailure();
    const breaker = this.#breaker.status();
    const isOpen = breaker.state === "open";
    const delayMs = isOpen ? this.#limits.breakerPauseMs : this.#backoff.nextMs();
    this.#nextTryAtMs = performance.now() + delayMs;
    this.#life.failed(spawn, failure, lastLines, delayMs);
    if (isOpen) this.#life.breakerOpened(spawn, breaker, delayMs);
    return delayMs;
  }
}
