import { createFailure, type Failure } from "../failure.js";

export interface StartLimits {
  /** From the start of the process to HELLO. */
  readonly helloLimitMs: number;
  /** From the start of the process to READY, downloads not counted. */
  readonly startLimitMs: number;
}

/** Gives up on a sidecar that does not get ready. */
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

  /** A download moves: how long the whole takes is up to the network, so the time starts anew. */
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
