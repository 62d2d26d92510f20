import type { Logger } from "../log.js";
import type { BreakerStatus } from "./restart/breaker.js";
import type { Failure } from "./failure.js";
import type { Ready } from "../wire/messages.js";

/** Which spawn an event is about. */
export interface SpawnId {
  readonly sidecar: number;
  readonly generation: number;
  readonly pid: number | null;
}

/** The events that say it all. */
const PLAIN_EVENTS = {
  started: "The sidecar was started; waiting for HELLO",
  greeted: "The sidecar said HELLO; it loads the model",
  ended: "The sidecar ended as asked",
  breaker_closed: "The trial works; restarts as usual",
  restart_asked: "Restart requested",
} as const;

/** One log line for each event in the life of a sidecar: which spawn, what happened, what comes next. */
export class EventLog {
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  note(event: keyof typeof PLAIN_EVENTS, spawn: SpawnId): void {
    this.#log.info({ ...spawn, event }, PLAIN_EVENTS[event]);
  }

  ready(spawn: SpawnId, { device, precision, phaseSeconds }: Ready): void {
    const facts = { ...spawn, event: "ready", device, precision, phaseSeconds };
    this.#log.info(facts, "The sidecar is ready; it takes tasks");
  }

  failed(spawn: SpawnId, failure: Failure, lastLines: readonly string[], delayMs: number): void {
    const facts = { ...spawn, event: "failed", code: failure.code, lastLines, delayMs };
    this.#log.error(facts, `${failure.message}; starting another in ${delayMs} ms`);
  }

  gaveUp(spawn: SpawnId, failure: Failure, lastLines: readonly string[]): void {
    const facts = { ...spawn, event: "gave_up", code: failure.code, lastLines };
    this.#log.fatal(facts, `${failure.message}; a restart would not help`);
  }

  breakerOpened(spawn: SpawnId, { recentFailures, failedTrials }: BreakerStatus, ms: number): void {
    const facts = { ...spawn, event: "breaker_opened", recentFailures, failedTrials, delayMs: ms };
    const why =
      failedTrials === 0 ? `The sidecar failed ${recentFailures} times` : "The trial failed too";
    this.#log.error(facts, `${why}; the next trial is in ${ms} ms, or at SIGHUP`);
  }

  /** A sidecar of another server, which was killed. */
  orphanEnded(pid: number): void {
    const message = "Ended an orphaned sidecar of a killed server and removed its run folder";
    this.#log.warn({ event: "orphan_ended", pid }, message);
  }
}
