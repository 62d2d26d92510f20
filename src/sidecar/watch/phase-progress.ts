import type { Phase } from "../../wire/messages.js";
import type { PhaseProgress } from "../status.js";

/** Short, so that a connection that became slow is seen to be slow. */
export const RATE_WINDOW_MS = 30_000;

interface Sample {
  readonly atMs: number;
  readonly done: number;
}

/** Follows the PHASE messages of one sidecar and finds out how fast it goes. */
export class PhaseTracker {
  readonly #clock: () => number;
  #phase: PhaseProgress | null = null;
  #samples: Sample[] = [];

  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** Null before the first message and after the last phase. */
  get phase(): PhaseProgress | null {
    return this.#phase;
  }

  note({ name, done, total, unit }: Pick<Phase, "name" | "done" | "total" | "unit">): void {
    const atMs = this.#clock();
    // Going back means starting over: a damaged file is fetched again.
    if (name !== this.#phase?.name || done < this.#phase.done) this.#samples = [];
    this.#samples = this.#samples.filter((sample) => sample.atMs >= atMs - RATE_WINDOW_MS);
    this.#samples.push({ atMs, done });
    const perSecond = this.#measure();
    const secondsLeft = perSecond === null ? null : Math.ceil((total - done) / perSecond);
    this.#phase = { name, done, total, unit, perSecond, secondsLeft };
  }

  clear(): void {
    this.#phase = null;
    this.#samples = [];
  }

  #measure(): number | null {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined) return null;
    const seconds = (last.atMs - first.atMs) / 1000;
    const rate = seconds > 0 ? (last.done - first.done) / seconds : 0;
    return rate > 0 ? Math.round(rate * 100) / 100 : null;
  }
}
