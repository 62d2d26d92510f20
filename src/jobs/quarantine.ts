import { createHash } from "node:crypto";
import { AppError } from "../errors.js";

/** The oldest are forgotten beyond this, so that callers cannot fill the memory with prompts. */
const PROMPT_LIMIT = 1_000;

/** Remembers, as hashes, the prompts that ended the sidecar, and refuses them for a time. */
export class Quarantine {
  readonly #durationMs: number;
  readonly #now: () => number;
  readonly #endsAtMs = new Map<string, number>();

  /**
   * @param durationMs - how long a prompt is refused; 0 refuses none.
   * @param now - milliseconds on a clock that never goes back.
   */
  constructor(durationMs: number, now: () => number = () => performance.now()) {
    this.#durationMs = durationMs;
    this.#now = now;
  }

  /** How many prompts are refused now. */
  get size(): number {
    for (const [key, endsAtMs] of this.#endsAtMs) {
      if (endsAtMs <= this.#now()) this.#endsAtMs.delete(key);
    }
    return this.#endsAtMs.size;
  }

  add(prompt: string): void {
    const key = hashPrompt(prompt);
    this.#endsAtMs.delete(key);
    this.#endsAtMs.set(key, this.#now() + this.#durationMs);
    const [oldest] = this.#endsAtMs.keys();
    if (this.#endsAtMs.size > PROMPT_LIMIT && oldest !== undefined) this.#endsAtMs.delete(oldest);
  }

  /** Why the prompt is refused, or null when it is not. */
  refusal(prompt: string): AppError | null {
    const leftMs = (this.#endsAtMs.get(hashPrompt(prompt)) ?? 0) - this.#now();
    if (leftMs <= 0) return null;
    const message = `This prompt ended the sidecar more than once; it is refused for another ${Math.ceil(leftMs / 1000)} s.`;
    return new AppError("prompt_quarantined", message);
  }
}

function hashPrompt(prompt: string): string {
  return createHash("sha256").update(prompt).digest("base64");
}
