/** What the rest of the server may know about a sidecar. */
import type { Phase, Ready } from "../wire/messages.js";
import type { BreakerStatus } from "./restart/breaker.js";

/**
 * - `starting`: spawned, has not said HELLO yet
 * - `loading`: greeted; downloads, loads, compiles, warms up
 * - `ready`: takes tasks
 * - `backing_off`: ended; waits for the next try
 * - `draining`: stopping or restarting; finishes its running tasks
 * - `stopped`: ended on request
 * - `failed`: ended for a reason that a restart would not change
 */
export const SIDECAR_STATES = [
  "starting",
  "loading",
  "ready",
  "backing_off",
  "draining",
  "stopped",
  "failed",
] as const;
export type SidecarState = (typeof SIDECAR_STATES)[number];

export interface LastFailure {
  /** The kind of failure, for programs: `exited`, `silent`, `checkpoint_not_found`... */
  readonly code: string;
  /** One sentence, then the last log lines of the sidecar, a line each. */
  readonly reason: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** Progress towards READY; the last two are null while unknown. */
export interface PhaseProgress extends Pick<Phase, "name" | "done" | "total" | "unit"> {
  /** Units a second, of the last half minute. */
  readonly perSecond: number | null;
  readonly secondsLeft: number | null;
}

/** Everything the rest of the server may know about the sidecar. */
export interface SidecarStatus {
  /** Which of several sidecars this is. */
  readonly index: number;
  readonly state: SidecarState;
  /** When this state began, in epoch milliseconds. */
  readonly since: number;
  /** Counts the spawns; 0 before the first. */
  readonly generation: number;
  readonly pid: number | null;
  readonly restarts: number;
  /** The same by why the spawn before had ended: a code of a failure, or `asked`. */
  readonly restartReasons: Readonly<Record<string, number>>;
  /** How often it ended without being asked to, by code. */
  readonly failures: Readonly<Record<string, number>>;
  readonly phase: PhaseProgress | null;
  readonly lastFailure: LastFailure | null;
  /** When the next try starts, in epoch milliseconds; null unless `backing_off`. */
  readonly nextTryAt: number | null;
  readonly breaker: BreakerStatus;
  /** What the running sidecar said of itself; null until it is ready. */
  readonly ready: Ready | null;
  /** Time since the last frame of the sidecar. */
  readonly beatAgeMs: number | null;
  /** Time since the last step of its compute thread, as far as beats tell; null while it has nothing to do. */
  readonly stepAgeMs: number | null;
  readonly running: number;
  readonly rssBytes: number | null;
  /** Frames of unknown peers and former spawns, and answers to tasks that had ended. */
  readonly droppedFrames: number;
  /** Connections without the right key. */
  readonly refusedConnections: number;
}

/** The part of the status that is a process, when there is none. */
export const NO_PROCESS = {
  pid: null,
  phase: null,
  ready: null,
  beatAgeMs: null,
  stepAgeMs: null,
  running: 0,
  rssBytes: null,
} as const;
