import { createFailure, type Failure } from "../failure.js";

export interface StartLimits {
  /** From the start of the process to HELLO. */
  readonly helloLimitMs: number;
  /** From the start of the process to READY, downloads not counted. */
  readonly startLimitMs: number;
}

/** Ends a sidecar that does not become ready in time. */
export class StartTimeout {
  readonly #limits: StartLimits;
  readonly #onLate: (failure: Failure) => void;
  readonly #helloTimer: NodeJS.Timeout;
  #readyTimer: NodeJS.Timeout;

  constructor(limits: StartLimits, onLate: (failure: Failure) => void) {
    this.#limits = limits;
    this.#onLate = onLate;
    const { helloLimitMs } = limits;
    this.#helloTimer = setTimeout(() => {
      const message = `the sidecar did not say HELLO within ${helloLimitMs} ms (helloLimitMs)`;
      onLate(createFailure("hello_timeout", message));
    }, helloLimitMs);
    this.#readyTimer = this.#armReady();
  }

  noteHello(): void {
    clearTimeout(this.#helloTimer);
  }

  /** A download progresses: how long it takes depends on the network, so the timeout starts over. */
  noteDownload(): void {
    clearTimeout(this.#readyTimer);
    this.#readyTimer = this.#armReady();
  }

  stop(): void {
    clearTimeout(this.#helloTimer);
    clearTimeout(this.#readyTimer);
  }

  #armReady(): NodeJS.Timeout {
    const { startLimitMs } = this.#limits;
    return setTimeout(() => {
      const message = `the sidecar was not ready within ${startLimitMs} ms (startLimitMs)`;
      this.#onLate(createFailure("start_timeout", message));
    }, startLimitMs);
  }
}
