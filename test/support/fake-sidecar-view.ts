import type { SidecarView } from "../../src/jobs/admission.js";
import type { SidecarStatus } from "../../src/sidecar/status.js";

const BLANK: SidecarStatus = {
  index: 0,
  state: "starting",
  since: 0,
  generation: 1,
  pid: 4242,
  restarts: 0,
  restartReasons: {},
  failures: {},
  phase: null,
  lastFailure: null,
  nextTryAt: null,
  breaker: { state: "closed", recentFailures: 0, failedTrials: 0 },
  ready: null,
  beatAgeMs: 10,
  stepAgeMs: null,
  running: 0,
  rssBytes: null,
  droppedFrames: 0,
  refusedConnections: 0,
};

/** A sidecar as seen from the jobs: a status that the test sets. */
export class FakeSidecar implements SidecarView {
  #status: SidecarStatus;
  readonly #listeners = new Set<() => void>();

  constructor(state: SidecarStatus["state"] = "starting") {
    this.#status = { ...BLANK, state };
  }

  status(): SidecarStatus {
    return this.#status;
  }

  onStatus(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  set(change: Partial<SidecarStatus>): void {
    this.#status = { ...this.#status, ...change };
    for (const listener of this.#listeners) listener();
  }
}
