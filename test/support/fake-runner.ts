/** A task runner whose tasks the test finishes, fails or loses by hand. */
import { EventEmitter, once } from "node:events";
import { AppError } from "../../src/errors.js";
import { Listeners } from "../../src/sidecar/listeners.js";
import type {
  RunOptions,
  Seat,
  SeatKind,
  Task,
  TaskImage,
  TaskRunner,
} from "../../src/sidecar/task.js";

const IMAGE_SIDE = 16;

/** The picture of a task: one colour taken from its seed; neighbouring seeds look very different. */
function paintImage(task: Task): TaskImage {
  const mixed = Math.imul(task.seed + 1, 2_654_435_761) >>> 0;
  const pixel = [mixed >>> 24, (mixed >>> 16) & 255, (mixed >>> 8) & 255];
  const rgb = Uint8Array.from({ length: IMAGE_SIDE * IMAGE_SIDE * 3 }, (_, i) => pixel[i % 3] ?? 0);
  return {
    width: IMAGE_SIDE,
    height: IMAGE_SIDE,
    seed: task.seed,
    rgb,
    textTokens: task.prompt.split(" ").length,
    imageTokens: 4,
    seconds: 0.01,
  };
}

interface HeldTask {
  readonly task: Task;
  readonly options: RunOptions;
  readonly resolve: (image: TaskImage) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A runner that works at once, or holds its tasks until the test decides about each. Its seats behave
 * as a sidecar's: taken with `run`, given back when the task settles.
 */
export class FakeRunner implements TaskRunner {
  /** Every task in the order of its start, as it was then. */
  readonly started: Task[] = [];
  /** The tasks that have not settled. */
  readonly held: HeldTask[] = [];
  #seats: number;
  #isAway = false;
  #isReserved = false;
  #isLone = false;
  readonly #isHolding: boolean;
  readonly #seatListeners = new Listeners();
  readonly #events = new EventEmitter();

  constructor({ seats = 4, isHolding = false } = {}) {
    this.#seats = seats;
    this.#isHolding = isHolding;
  }

  freeSeats(): number {
    return this.#isAway || this.#isReserved || this.#isLone ? 0 : this.#seats;
  }

  takeSeat(kind: SeatKind): Seat | null {
    const isFree =
      kind === "alone"
        ? !this.#isAway && this.#seats > 0 && this.held.length === 0
        : this.freeSeats() > 0;
    return isFree ? { run: (task, options) => this.#run(task, options, kind) } : null;
  }

  reserve(isWanted: boolean): void {
    this.#isReserved = isWanted;
  }

  onSeat(listener: () => void): () => void {
    return this.#seatListeners.add(listener);
  }

  async #run(task: Task, options: RunOptions, kind: SeatKind): Promise<TaskImage> {
    this.#seats -= 1;
    this.#isLone = kind === "alone";
    const { attempt, deadlineInMs, prompt, sampling, seed, taskId } = task;
    this.started.push({ attempt, deadlineInMs, prompt, sampling, seed, taskId });
    this.#events.emit("started");
    try {
      return this.#isHolding ? await this.#hold(task, options) : paintImage(task);
    } finally {
      this.#isLone = false;
      this.addSeats(1);
    }
  }

  addSeats(count: number): void {
    this.#seats += count;
    this.#seatListeners.notify();
  }

  /** Waits until `count` tasks have been started since the beginning. */
  async untilStarted(count: number): Promise<void> {
    while (this.started.length < count) await once(this.#events, "started");
  }

  /** Finishes the held task that started first. */
  finishNext(): void {
    const held = this.held.shift();
    held?.resolve(paintImage(held.task));
  }

  /** Finishes the first `count` tasks, each once it has been started. */
  async finishInTurn(count: number): Promise<void> {
    for (let started = 1; started <= count; started += 1) {
      await this.untilStarted(started);
      this.finishNext();
    }
  }

  failNext(error: unknown): void {
    this.held.shift()?.reject(error);
  }

  /** What the supervisor does when the process dies: no seats, and every running task is lost. */
  loseAll(): void {
    this.#isAway = true;
    for (const held of this.held.splice(0)) held.reject(createLostError());
  }

  /** The sidecar is ready again. */
  comeBack(): void {
    this.#isAway = false;
    this.addSeats(0);
  }

  /** The sidecar dies and is ready again. */
  async restart(): Promise<void> {
    this.loseAll();
    await new Promise(setImmediate);
    this.comeBack();
  }

  #hold(task: Task, options: RunOptions): Promise<TaskImage> {
    return new Promise((resolve, reject) => {
      const held = { task, options, resolve, reject };
      this.held.push(held);
      options.signal.addEventListener("abort", () => {
        const position = this.held.indexOf(held);
        if (position === -1) return;
        this.held.splice(position, 1);
        reject(new AppError("cancelled", "The task was cancelled."));
      });
    });
  }
}

export function createLostError(): AppError {
  return new AppError("sidecar_lost", "The sidecar went away.");
}
