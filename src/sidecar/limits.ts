import type { Logger } from "../log.js";
import type { SidecarConfig } from "../wire/messages.js";
import type { Launch } from "./process/launch.js";
import type { LogRate } from "./process/output-log.js";
import type { BackoffLimits } from "./restart/backoff.js";
import type { BreakerLimits } from "./restart/breaker.js";
import type { LivenessLimits } from "./watch/liveness.js";
import type { StartLimits } from "./watch/start-timeout.js";

/** The times and numbers of supervision. */
export interface SupervisionLimits
  extends LivenessLimits, StartLimits, BackoffLimits, BreakerLimits, LogRate {
  /** From GENERATE to ACCEPTED. */
  readonly acceptLimitMs: number;
  /** From SIGTERM to SIGKILL, when a sidecar has failed. */
  readonly killGraceMs: number;
  /** A sidecar that was ready for this long, and made an image, resets the backoff. */
  readonly stableMs: number;
  /** From the opening of the breaker to the next trial. */
  readonly breakerPauseMs: number;
}

/** `ipc`: a socket that only this user can reach; `tcp`: encrypted, on a port of `host`. */
export interface TransportChoice {
  readonly kind: "ipc" | "tcp";
  /** An IP address of this machine. */
  readonly host: string;
}

export interface SupervisorOptions {
  /** How to start the sidecar; `--endpoint` and `--identity` are added to the arguments. */
  readonly program: Launch;
  /** What WELCOME brings; the beat interval is that of the limits. */
  readonly config: Omit<SidecarConfig, "beatIntervalMs">;
  readonly log: Logger;
  readonly limits: SupervisionLimits;
  /** Which of several sidecars this is. */
  readonly index: number;
  /** Tasks sent beyond the slots of the sidecar, so that a slot never waits; null: as many as slots. */
  readonly prefetch: number | null;
  readonly transport: TransportChoice;
  /** Where the run folder is made; the temp folder of the system unless given. */
  readonly runFolderParent?: string;
  /** Uniform in [0, 1), for the jitter of the backoff. */
  readonly random?: () => number;
}
