import { createHash, timingSafeEqual } from "node:crypto";
import { describeError, type AppError } from "../../errors.js";
import { decodeUp, ProtocolError, VersionMismatchError } from "../../wire/frames.js";
import type {
  Beat,
  DownMessage,
  Failed,
  Hello,
  Phase,
  Ready,
  SidecarConfig,
  UpMessage,
} from "../../wire/messages.js";
import { createFailure, type Failure } from "../failure.js";
import type { Seat, SeatKind } from "../task.js";
import { PendingTasks } from "./pending-tasks.js";

/** How long the exit of a sidecar that cannot be reached may take to be noticed. */
const UNREACHABLE_GRACE_MS = 200;

interface ClientOptions {
  readonly generation: number;
  readonly token: string;
  readonly config: SidecarConfig;
  /** Tasks sent beyond the slots, so that a slot never waits for the next; null: as many as slots. */
  readonly prefetch: number | null;
  readonly acceptLimitMs: number;
  readonly send: (message: DownMessage) => Promise<void>;
  /** HELLO was right and has been answered. */
  readonly onWelcomed: () => void;
  readonly onPhase: (phase: Phase) => void;
  readonly onReady: () => void;
  readonly onBeat: (beat: Beat) => void;
  /** A seat may be free again. */
  readonly onFreed: () => void;
  /** The sidecar has broken the protocol or has given up; it has to be ended. */
  readonly onFailure: (failure: Failure) => void;
}

/**
 * The server's end of the link to one sidecar: the handshake, the seats, the rules of the protocol.
 * It does no I/O: it is given the frames that arrive and a function that sends.
 */
export class SidecarClient {
  readonly tasks: PendingTasks;
  readonly #options: ClientOptions;
  #isWelcomed = false;
  #isClosing = false;
  /** Whether the task that runs must not share the sidecar. */
  #isLone = false;
  #ready: Ready | null = null;
  #droppedCount = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    const { send, acceptLimitMs, onFreed } = options;
    this.tasks = new PendingTasks({
      send,
      acceptLimitMs,
      onFreed: () => {
        if (this.tasks.size === 0) this.#isLone = false;
        onFreed();
      },
      onUnreachable: (error) => {
        this.#noteUnreachable(error);
      },
      onOverdue: (taskId) => {
        const message = `the sidecar did not answer task ${taskId} within ${acceptLimitMs} ms`;
        this.#fail(createFailure("accept_timeout", message));
      },
    });
  }

  /** What the sidecar said about itself; null until it is ready. */
  get ready(): Ready | null {
    return this.#ready;
  }

  /** Answers that no task waited for. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  /** How many shared seats are free. */
  freeSeats(): number {
    if (this.#ready === null || this.#isClosing || this.#isLone) return 0;
    const { slots } = this.#ready;
    return Math.max(0, slots + (this.#options.prefetch ?? slots) - this.tasks.size);
  }

  takeSeat(kind: SeatKind): Seat | null {
    if (this.freeSeats() === 0 || (kind === "alone" && this.tasks.size > 0)) return null;
    return {
      run: (task, options) => {
        this.#isLone = kind === "alone";
        return this.tasks.run(task, options);
      },
    };
  }

  /** Takes the frames of one message. */
  receive(frames: readonly Uint8Array[]): void {
    try {
      const message = decodeUp(frames);
      if (message !== null) this.#handle(message);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      const isPermanent = error instanceof VersionMismatchError;
      const code = isPermanent ? "version_mismatch" : "protocol_error";
      const message = `the sidecar broke the protocol: ${error.message}`;
      this.#fail({ code, message, isPermanent });
    }
  }

  /** Gives no more seats; answers still count. */
  closeSeats(): void {
    this.#isClosing = true;
  }

  /** Gives no more seats and lets the sidecar finish. */
  async drain(): Promise<void> {
    this.#isClosing = true;
    await this.#options.send({ type: "DRAIN" });
  }

  /** Gives no more seats and ends every task with `error`. */
  close(error: AppError): void {
    this.#isClosing = true;
    this.tasks.failAll(error);
  }

  #handle(message: UpMessage): void {
    if (message.type === "HELLO") {
      this.#greet(message);
      return;
    }
    if (!this.#isWelcomed) throw new ProtocolError(message.type, "type", "HELLO first");
    switch (message.type) {
      case "PHASE":
        this.#options.onPhase(message);
        break;
      case "READY":
        if (this.#ready !== null) throw new ProtocolError("READY", "type", "one READY");
        this.#ready = message;
        this.#options.onReady();
        this.#options.onFreed();
        break;
      case "BEAT":
        this.#options.onBeat(message);
        break;
      case "PROGRESS":
        this.tasks.progress(message);
        break;
      case "BYE":
        this.#isClosing = true;
        break;
      case "FAILED":
        this.#receiveFailure(message);
        break;
      case "REJECTED":
        // It is draining for another reason; sending more would only use up the tries of the tasks.
        if (message.code === "draining") this.#isClosing = true;
        this.#drop(this.tasks.receive(message));
        break;
      case "ACCEPTED":
      case "IMAGE":
        this.#drop(this.tasks.receive(message));
        break;
    }
  }

  #greet(hello: Hello): void {
    const { token, generation, config, onWelcomed } = this.#options;
    if (this.#isWelcomed) throw new ProtocolError("HELLO", "type", "one HELLO");
    if (!isSameSecret(hello.token, token)) {
      this.#fail(createFailure("handshake_refused", "the sidecar did not know the token"));
      return;
    }
    if (hello.generation !== generation) {
      const message = `the sidecar is of generation ${hello.generation}, not ${generation}`;
      this.#fail(createFailure("handshake_refused", message));
      return;
    }
    this.#isWelcomed = true;
    this.#options.send({ type: "WELCOME", config }).catch((error: unknown) => {
      // Any other error: the sidecar is gone already, which is noticed by its exit.
      if (!(error instanceof ProtocolError)) return;
      const message = `the configuration does not fit the protocol: ${error.message}`;
      this.#fail({ code: "config_unsupported", message, isPermanent: true });
    });
    onWelcomed();
  }

  #receiveFailure(failed: Failed): void {
    // First, so that the seat that comes free is not used for another task.
    if (failed.fatal) this.#isClosing = true;
    if (failed.taskId !== null) this.#drop(this.tasks.receive(failed));
    if (failed.fatal) {
      const message = `${failed.code}: ${failed.message}`;
      this.#fail({ code: failed.code, message, isPermanent: !failed.retryable });
    }
  }

  /** Its exit usually follows and says more; so the failure comes a little later. */
  #noteUnreachable(error: unknown): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const message = `a task did not reach the sidecar: ${describeError(error)}`;
    setTimeout(() => {
      this.#fail(createFailure("unreachable", message));
    }, UNREACHABLE_GRACE_MS).unref();
  }

  #drop(isWanted: boolean): void {
    if (!isWanted) this.#droppedCount += 1;
  }

  #fail(failure: Failure): void {
    this.#isClosing = true;
    this.#options.onFailure(failure);
  }
}

/** Compares in a time that does not depend on where the two differ. */
function isSameSecret(one: string, other: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
