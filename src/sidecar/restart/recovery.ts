import { Backoff } from "./backoff.js";
import { Breaker } from "./breaker.js";
import { nameForCount, type SpawnEnd } from "../failure.js";
import type { EventLog, SpawnId } from "../event-log.js";
import type { SupervisionLimits } from "../limits.js";
import type { LastFailure, SidecarStatus } from "../status.js";

/** When the next start is: after this many milliseconds, at once, or when a restart is requested. */
export type Pause = number | "none" | "until_asked";

/** Decides what follows the end of a sidecar, and remembers why it ended. */
export class Recovery {
  readonly #limits: SupervisionLimits;
  readonly #events: EventLog;
  readonly #backoff: Backoff;
  readonly #breaker: Breaker;
  readonly #restartReasons = new Map<string, number>();
  readonly #failures = new Map<string, number>();
  #lastFailure: LastFailure | null = null;
  /** Why the last spawn ended; null before that. */
  #lastEnd: string | null = null;
  /** On the clock that never goes back, as everything that is waited for. */
  #nextTryAtMs: number | null = null;

  constructor(limits: SupervisionLimits, events: EventLog, random?: () => number) {
    this.#limits = limits;
    this.#events = events;
    this.#backoff = new Backoff(limits, random);
    this.#breaker = new Breaker(limits);
  }

  /** The part of the status that is about what went wrong so far. */
  status(): Pick<SidecarStatus, "lastFailure" | "breaker" | "restartReasons" | "failures"> {
    return {
      lastFailure: this.#lastFailure,
      breaker: this.#breaker.status(),
      restartReasons: Object.fromEntries(this.#restartReasons),
      failures: Object.fromEntries(this.#failures),
    };
  }

  /** When the pause is over, in epoch milliseconds: right even after the machine's clock was set. */
  nextTryAt(): number | null {
    if (this.#nextTryAtMs === null) return null;
    return Math.round(Date.now() + this.#nextTryAtMs - performance.now());
  }

  /** A spawn is about to start. */
  noteStart(): void {
    if (this.#lastEnd !== null) count(this.#restartReasons, this.#lastEnd);
    this.#nextTryAtMs = null;
    this.#breaker.startTrial();
  }

  /** The running spawn made an image, or was ready for long enough. */
  noteSuccess(spawn: SpawnId): void {
    if (this.#breaker.noteSuccess()) this.#events.note("breaker_closed", spawn);
  }

  /** The spawn that ended had been ready for long and had made an image. */
  noteProven(): void {
    this.#backoff.reset();
  }

  /** Remembers and logs how a spawn ended, and says when to start the next. */
  judge({ failure, noticedAt, lastLines }: SpawnEnd, spawn: SpawnId): Pause {
    this.#lastEnd = failure === null ? "asked" : nameForCount(failure);
    if (failure === null) {
      this.#events.note("ended", spawn);
      return "none";
    }
    count(this.#failures, this.#lastEnd);
    const { code, message } = failure;
    this.#lastFailure = { code, reason: [message, ...lastLines].join("\n"), at: noticedAt };
    if (failure.isPermanent) {
      this.#events.gaveUp(spawn, failure, lastLines);
      return "until_asked";
    }
    this.#breaker.noteFailure();
    const breaker = this.#breaker.status();
    const isOpen = breaker.state === "open";
    const delayMs = isOpen ? this.#limits.breakerPauseMs : this.#backoff.nextMs();
    this.#nextTryAtMs = performance.now() + delayMs;
    this.#events.failed(spawn, failure, lastLines, delayMs);
    if (isOpen) this.#events.breakerOpened(spawn, breaker, delayMs);
    return delayMs;
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
