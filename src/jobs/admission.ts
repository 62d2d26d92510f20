import { AppError } from "../errors.js";
import type { SidecarPool } from "../sidecar/pool.js";
import type { SidecarStatus } from "../sidecar/status.js";
import { toPublicReason } from "../sidecar/failure.js";

const MAX_RETRY_AFTER_S = 60;
/** How soon to come back while the model loads, which takes an unknown time. */
const LOADING_RETRY_AFTER_S = 5;
const RESTART_RETRY_AFTER_S = 2;

/** What admission needs of the sidecars. */
export type SidecarView = Pick<SidecarPool, "status" | "onStatus">;

/**
 * Decides whether new work is accepted.
 *
 * During the first load requests are refused, so that callers do not wait for minutes without a reason.
 * After that the sidecar has proved itself: during a short restart requests are accepted and wait.
 */
export class Admission {
  readonly #sidecar: SidecarView;
  readonly #patienceMs: number;
  #wasReady: boolean;
  #isStopping = false;

  /** @param patienceMs - a restart that is further away is not worth waiting for in the queue. */
  constructor(sidecar: SidecarView, patienceMs: number) {
    this.#sidecar = sidecar;
    this.#patienceMs = patienceMs;
    this.#wasReady = sidecar.status().state === "ready";
    sidecar.onStatus(() => {
      if (sidecar.status().state === "ready") this.#wasReady = true;
    });
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** From now on every request is refused with `shutting_down`. */
  stop(): void {
    this.#isStopping = true;
  }

  /** Calls `listener` when waiting for a sidecar has no prospect: none will come, or restarts keep failing. */
  onHopeless(listener: (refusal: AppError) => void): void {
    this.#sidecar.onStatus(() => {
      const { state, breaker } = this.#sidecar.status();
      const refusal = state === "failed" || breaker.failedTrials > 0 ? this.refusal() : null;
      if (refusal !== null) listener(refusal);
    });
  }

  /** Why new work is refused, or null when it is taken. */
  refusal(): AppError | null {
    const problem = this.readyRefusal();
    if (problem === null || !this.#wasReady || this.#isStopping) return problem;
    const status = this.#sidecar.status();
    if (status.breaker.state !== "closed") return problem;
    // A requested restart drains first.
    if (["starting", "loading", "draining"].includes(status.state)) return null;
    const waitMs = (status.nextTryAt ?? 0) - Date.now();
    return status.state === "backing_off" && waitMs <= this.#patienceMs ? null : problem;
  }

  /** Why a task would not run at once, or null when the sidecar is ready. */
  readyRefusal(): AppError | null {
    if (this.#isStopping) return new AppError("shutting_down", "The server is stopping.");
    const status = this.#sidecar.status();
    return status.state === "ready" ? null : describeNotReady(status);
  }
}

function describeNotReady(status: SidecarStatus): AppError {
  switch (status.state) {
    case "draining":
      return createNotReady("The sidecar is restarting.", LOADING_RETRY_AFTER_S);
    case "failed":
    case "stopped":
      return createNotReady(
        `The model cannot be served: ${describeFailure(status)}.`,
        MAX_RETRY_AFTER_S,
      );
    case "backing_off": {
      const waitS = Math.ceil(((status.nextTryAt ?? Date.now()) - Date.now()) / 1000);
      const retryAfterS = Math.min(MAX_RETRY_AFTER_S, Math.max(1, waitS + RESTART_RETRY_AFTER_S));
      const breaker = status.breaker.state === "open" ? " too often" : "";
      const message = `The model is not loaded: ${describeFailure(status, breaker)}. The next try is in ${Math.max(0, waitS)} s.`;
      return createNotReady(message, retryAfterS);
    }
    default:
      return createNotReady(`The model is loading${describePhase(status)}.`, LOADING_RETRY_AFTER_S);
  }
}

function createNotReady(message: string, retryAfterS: number): AppError {
  return new AppError("not_ready", message, { retryAfterS });
}

function describePhase({ phase }: SidecarStatus): string {
  if (phase === null) return "";
  const name = phase.name.replaceAll("_", " ");
  if (phase.total <= 0) return ` (${name})`;
  const left = phase.secondsLeft === null ? "" : `, ${phase.secondsLeft} s left`;
  return ` (${name}: ${phase.done} of ${phase.total} ${phase.unit}${left})`;
}

function describeFailure({ state, lastFailure }: SidecarStatus, howOften = ""): string {
  if (state === "stopped") return "the sidecar is stopping";
  if (lastFailure === null) return "the sidecar stopped";
  // A next try would end the same way: the caller learns what has to be put right.
  if (state === "failed") return toPublicReason(lastFailure.reason);
  return `the sidecar stopped${howOften}; /health_check and the log say why`;
}
