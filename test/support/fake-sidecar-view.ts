import type { SidecarView } from "../../src/jobs/admission.js";
import { Listeners } from "../../src/sidecar/listeners.js";
import type { SidecarStatus } from "../../src/sidecar/status.js";

const READY: SidecarStatus["ready"] = {
  type: "READY",
  slots: 4,
  imageWidth: 16,
  imageHeight: 16,
  imageTokens: 4,
  device: "cpu",
  memoryBytes: null,
  precision: "float32",
  checkpointHash: "0".repeat(64),
  phaseSeconds: {},
  sampling: {
    defaults: { condScale: 10, temperature: 1, topK: 0, topP: 1 },
    limits: { condScale: [1, 30], temperature: [0.1, 5], topK: [0, 1000], topP: [0.01, 1] },
  },
};

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

/** A sidecar as seen from above: a status that the test sets, and nothing behind it. */
export class FakeSidecar implements SidecarView {
  #status: SidecarStatus;
  readonly #listeners = new Listeners();

  constructor(state: SidecarStatus["state"] = "starting") {
    this.#status = BLANK;
    this.set({ state });
  }

  status(): SidecarStatus {
    return this.#status;
  }

  statuses(): readonly SidecarStatus[] {
    return [this.#status];
  }

  onStatus(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  set(change: Partial<SidecarStatus>): void {
    const state = change.state ?? this.#status.state;
    this.#status = { ...this.#status, ready: state === "ready" ? READY : null, ...change };
    this.#listeners.notify();
  }
}
