import { createFailure, type Failure, type FailureCode } from "../failure.js";

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
    this.#helloTimer = this.#arm("hello_timeout", "did not say HELLO", "helloLimitMs");
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
    return this.#arm("start_timeout", "was not ready", "startLimitMs");
  }

  #arm(code: FailureCode, what: string, limit: keyof StartLimits): NodeJS.Timeout {
    const limitMs = this.#limits[limit];
    return setTimeout(() => {
      const message = `the sidecar ${what} within ${limitMs} ms (${limit})`;
      this.#onLate(createFailure(code, message));
    }, limitMs);
  }
}
