import { setTimeout as waitMs } from "node:timers/promises";
import { AppError, describeError } from "../errors.js";
import { Backoff } from "./backoff.js";
import type { Failure } from "./failure.js";
import { Generation, type GenerationEnd } from "./generation.js";
import { DEFAULT_LIMITS, type SupervisionLimits, type SupervisorOptions } from "./options.js";
import { openPost, type Post } from "./post.js";
import type { LastFailure, SidecarState, SidecarStatus } from "./status.js";
import type { RunOptions, Task, TaskImage, TaskRunner } from "./task.js";

/**
 * Keeps one sidecar running: starts it, watches it, starts it again when it ends, gives up when that
 * would not help, and ends it without leaving anything behind.
 *
 * It retries no task: those of a sidecar that ended are rejected with `sidecar_lost`.
 */
export class Supervisor implements TaskRunner {
  readonly #options: SupervisorOptions;
  readonly #limits: SupervisionLimits;
  readonly #backoff: Backoff;
  readonly #statusListeners = new Set<(status: SidecarStatus) => void>();
  readonly #creditListeners = new Set<() => void>();
  readonly #stopping = new AbortController();
  #post: Post | null = null;
  #generation: Generation | null = null;
  #done: Promise<void> | null = null;
  #state: SidecarState = "starting";
  #since = Date.now();
  #generationCount = 0;
  #droppedCount = 0;
  #lastFailure: LastFailure | null = null;
  #nextTryAt: number | null = null;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#backoff = new Backoff({
      baseMs: this.#limits.backoffBaseMs,
      capMs: this.#limits.backoffCapMs,
      ...(options.random === undefined ? {} : { random: options.random }),
    });
  }

  /** Starts the sidecar; what becomes of it is told by `status` and `onStatus`. */
  start(): void {
    if (this.#done !== null) throw new Error("a supervisor is started once");
    this.#done = this.#supervise();
  }

  status(): SidecarStatus {
    const generation = this.#generation;
    return {
      state: this.#state,
      since: this.#since,
      generation: this.#generationCount,
      restarts: Math.max(0, this.#generationCount - 1),
      lastFailure: this.#lastFailure,
      nextTryAt: this.#nextTryAt,
      droppedFrames: this.#droppedCount + (generation?.client.droppedCount ?? 0),
      ...(generation?.describe() ?? {
        pid: null,
        phase: null,
        ready: null,
        beatAgeMs: null,
        running: 0,
        rssBytes: null,
      }),
    };
  }

  /** Calls `listener` after each change of the state or the phase; returns what removes it. */
  onStatus(listener: (status: SidecarStatus) => void): () => void {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }

  onCredit(listener: () => void): () => void {
    this.#creditListeners.add(listener);
    return () => this.#creditListeners.delete(listener);
  }

  freeCredits(): number {
    return this.#state === "ready" ? (this.#generation?.client.freeCredits() ?? 0) : 0;
  }

  run(task: Task, options: RunOptions): Promise<TaskImage> {
    if (this.#generation === null || this.freeCredits() === 0) {
      return Promise.reject(new AppError("not_ready", "The sidecar takes no task now."));
    }
    return this.#generation.client.run(task, options);
  }

  /**
   * Lets the sidecar finish what runs, at most for `drainMs`, and ends it. Afterwards no process,
   * socket or folder of it is left. A second call waits for the first.
   */
  async stop({ drainMs }: { readonly drainMs: number }): Promise<void> {
    if (!this.#stopping.signal.aborted) {
      this.#stopping.abort();
      if (this.#state !== "failed") this.#enter("draining");
      await this.#generation?.stop(drainMs);
    }
    await this.#done;
    this.#enter("stopped");
  }

  /** Ends the sidecar at once, without a promise: for the last moment of a process. */
  kill(): void {
    this.#stopping.abort();
    this.#generation?.kill();
    this.#post?.removeNow();
    this.#enter("stopped");
  }

  async #supervise(): Promise<void> {
    try {
      this.#post = await openPost(this.#options.runFolderParent, (peer, frames) => {
        this.#receive(peer, frames);
      });
      await this.#keepRunning(this.#post);
    } catch (error) {
      // The folder, the socket or the start itself: none of them goes away by trying again.
      this.#giveUp({ code: "start_failed", message: describeError(error), isPermanent: true }, []);
    }
    await this.#post?.close();
  }

  async #keepRunning(post: Post): Promise<void> {
    while (!this.#isStopping()) {
      const end = await this.#runGeneration(post);
      if (end.failure !== null && !(await this.#recover(end.failure, end.lastLines))) return;
    }
  }

  async #runGeneration(post: Post): Promise<GenerationEnd> {
    this.#generationCount += 1;
    const generation = new Generation({
      number: this.#generationCount,
      program: this.#options.program,
      transport: post.transport,
      config: { ...this.#options.config, beatIntervalMs: this.#limits.beatIntervalMs },
      prefetch: this.#options.prefetch ?? null,
      limits: this.#limits,
      log: this.#options.log,
      onChange: () => {
        this.#follow(generation);
      },
      onFreed: () => {
        for (const listener of this.#creditListeners) listener();
      },
    });
    this.#generation = generation;
    this.#enter("starting");
    const end = await generation.ended;
    if (generation.isProven(this.#limits.stableMs)) this.#backoff.reset();
    this.#droppedCount += generation.client.droppedCount;
    this.#generation = null;
    return end;
  }

  /** Waits for the time of the next try; false when there is none. */
  async #recover(failure: Failure, lastLines: readonly string[]): Promise<boolean> {
    if (failure.isPermanent) {
      this.#giveUp(failure, lastLines);
      return false;
    }
    const delayMs = this.#backoff.nextMs();
    this.#note(failure, lastLines);
    this.#options.log.error(
      { code: failure.code, lastLines, delayMs },
      `${failure.message}; starting another`,
    );
    if (this.#isStopping()) return false;
    this.#nextTryAt = Date.now() + delayMs;
    this.#enter("backing_off");
    const { signal } = this.#stopping;
    await waitMs(delayMs, undefined, { signal }).catch(() => undefined);
    this.#nextTryAt = null;
    return true;
  }

  #giveUp(failure: Failure, lastLines: readonly string[]): void {
    this.#note(failure, lastLines);
    const message = `${failure.message}; a restart would not help`;
    this.#options.log.fatal({ code: failure.code, lastLines }, message);
    if (!this.#isStopping()) this.#enter("failed");
  }

  #note({ code, message }: Failure, lastLines: readonly string[]): void {
    this.#lastFailure = { code, reason: [message, ...lastLines].join("\n"), at: Date.now() };
  }

  /** Takes over what a generation says of itself, unless the supervisor has plans of its own. */
  #follow(generation: Generation): void {
    if (this.#isStopping()) return;
    const { state } = generation;
    this.#enter(state === "ending" ? "backing_off" : state);
  }

  #receive(peer: string, frames: readonly Uint8Array[]): void {
    if (peer === this.#generation?.identity) this.#generation.receive(frames);
    else this.#droppedCount += 1;
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  #enter(state: SidecarState): void {
    if (state !== this.#state) {
      this.#state = state;
      this.#since = Date.now();
    }
    const status = this.status();
    for (const listener of this.#statusListeners) listener(status);
  }
}
