import { setTimeout as waitMs } from "node:timers/promises";
import { AppError, describeError } from "../errors.js";
import { createReturnError, createStopError } from "./failure.js";
import { Spawn } from "./spawn.js";
import { EventLog, type SpawnId } from "./event-log.js";
import { Listeners } from "./listeners.js";
import type { SupervisionLimits, SupervisorOptions } from "./limits.js";
import { openEndpoint, type Endpoint } from "./endpoint.js";
import { Recovery, type Pause } from "./restart/recovery.js";
import { NO_PROCESS, type SidecarState, type SidecarStatus } from "./status.js";
import type { RunOptions, Task, TaskImage, TaskRunner } from "./task.js";

/** The longest timer that Node has. */
const FOR_EVER_MS = 2 ** 31 - 1;

/**
 * Keeps one sidecar running: starts it, watches it, starts it again when it ends, gives up when that
 * would not help, and ends it without leaving anything behind.
 *
 * It retries no task: those of a sidecar that ended are rejected with `sidecar_lost`.
 */
export class Supervisor implements TaskRunner {
  readonly #options: SupervisorOptions;
  readonly #limits: SupervisionLimits;
  readonly #life: EventLog;
  readonly #recovery: Recovery;
  readonly #statusListeners = new Listeners<SidecarStatus>();
  readonly #creditListeners = new Listeners<undefined>();
  readonly #stopping = new AbortController();
  /** Aborted to end a wait early. */
  #waking = new AbortController();
  #post: Endpoint | null = null;
  #generation: Spawn | null = null;
  #done: Promise<void> | null = null;
  #proofTimer: NodeJS.Timeout | undefined;
  #state: SidecarState = "starting";
  #since = Date.now();
  #generationCount = 0;
  #droppedCount = 0;
  #isIsolating = false;
  /** Whether the task that runs has to have the sidecar for itself. */
  #isLone = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#limits = options.limits;
    this.#life = new EventLog(options.log);
    this.#recovery = new Recovery(this.#limits, this.#life, options.random);
  }

  /** Starts the sidecar; what becomes of it is told by `status` and `onStatus`. */
  start(): void {
    if (this.#done !== null) throw new Error("a supervisor is started once");
    this.#done = this.#supervise();
  }

  status(): SidecarStatus {
    const generation = this.#generation;
    return {
      index: this.#options.index ?? 0,
      state: this.#state,
      since: this.#since,
      generation: this.#generationCount,
      restarts: Math.max(0, this.#generationCount - 1),
      nextTryAt: this.#state === "backing_off" ? this.#recovery.nextTryAt() : null,
      ...this.#recovery.describe(),
      droppedFrames: this.#droppedCount + (generation?.client.droppedCount ?? 0),
      refusedConnections: this.#post?.transport.refusedCount ?? 0,
      ...(generation?.describe() ?? NO_PROCESS),
    };
  }

  /** Calls `listener` after each change of the state or the phase; returns what removes it. */
  onStatus(listener: (status: SidecarStatus) => void): () => void {
    return this.#statusListeners.add(listener);
  }

  onCredit(listener: () => void): () => void {
    return this.#creditListeners.add(listener);
  }

  freeCredits(): number {
    return this.#isIsolating || this.#isLone ? 0 : this.#credits();
  }

  canRunAlone(): boolean {
    return this.#credits() > 0 && this.#generation?.client.runningCount === 0;
  }

  isolate(isWanted: boolean): void {
    if (this.#isIsolating === isWanted) return;
    this.#isIsolating = isWanted;
    if (!isWanted) this.#creditListeners.tell(undefined);
  }

  run(task: Task, options: RunOptions): Promise<TaskImage> {
    const isFree = options.isAlone === true ? this.canRunAlone() : this.freeCredits() > 0;
    if (this.#generation === null || !isFree) {
      return Promise.reject(new AppError("not_ready", "The sidecar takes no task now."));
    }
    const image = this.#generation.client.run(task, options);
    if (options.isAlone === true) this.#isLone = true;
    return image;
  }

  /** What it could take if nothing were kept apart. */
  #credits(): number {
    return this.#state === "ready" ? (this.#generation?.client.freeCredits() ?? 0) : 0;
  }

  /** Ends the sidecar as `stop` does, or the wait for the next one; another starts then. */
  async restart({ drainMs }: { readonly drainMs: number }): Promise<void> {
    if (this.#isStopping()) return;
    this.#life.restartAsked(this.#spawn());
    this.#waking.abort();
    const generation = this.#generation;
    if (generation === null) return;
    this.#enter("draining");
    await generation.stop(drainMs, createReturnError());
  }

  /**
   * Lets the sidecar finish what runs, at most for `drainMs`, and ends it. Afterwards no process,
   * socket or folder of it is left. A second call waits for the first.
   */
  async stop({ drainMs }: { readonly drainMs: number }): Promise<void> {
    if (!this.#isStopping()) {
      this.#stopping.abort();
      this.#waking.abort();
      if (this.#state !== "failed") this.#enter("draining");
      await this.#generation?.stop(drainMs, createStopError());
    }
    await this.#done;
    this.#enter("stopped");
  }

  /** Ends the sidecar at once, without a promise: for the last moment of a process. */
  kill(): void {
    this.#stopping.abort();
    this.#waking.abort();
    this.#generation?.kill();
    this.#post?.removeNow();
    this.#enter("stopped");
  }

  async #supervise(): Promise<void> {
    try {
      this.#post = await openEndpoint(this.#options, this.#life, (peer, frames) => {
        if (peer === this.#generation?.identity) this.#generation.receive(frames);
        else this.#droppedCount += 1;
      });
      while (!this.#isStopping()) await this.#wait(await this.#runGeneration(this.#post));
    } catch (error) {
      // The folder, the socket or the start itself: none of them goes away by trying again.
      const failure = { code: "start_failed", message: describeError(error), isPermanent: true };
      this.#recovery.judge({ failure, noticedAt: Date.now(), lastLines: [] }, this.#spawn());
      if (!this.#isStopping()) this.#enter("failed");
    }
    await this.#post?.close();
  }

  /** Resolves when the spawn has ended, with the time to wait before the next. */
  async #runGeneration(post: Endpoint): Promise<Pause> {
    this.#generationCount += 1;
    this.#waking = new AbortController();
    this.#recovery.noteStart();
    const generation = this.#createGeneration(post);
    this.#generation = generation;
    post.noteSpawn(generation.identity, this.#spawn().pid);
    this.#life.started(this.#spawn());
    this.#enter("starting");
    const end = await generation.ended;
    clearTimeout(this.#proofTimer);
    if (generation.isProven(this.#limits.stableMs)) this.#recovery.noteProven();
    this.#droppedCount += generation.client.droppedCount;
    this.#isLone = false;
    const pause = this.#recovery.judge(end, this.#spawn());
    this.#generation = null;
    return pause;
  }

  #createGeneration(post: Endpoint): Spawn {
    const generation: Spawn = new Spawn({
      index: this.#options.index ?? 0,
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
        if (generation.client.finishedCount > 0) this.#recovery.noteSuccess(this.#spawn());
        if (generation.client.runningCount === 0) this.#isLone = false;
        this.#creditListeners.tell(undefined);
      },
    });
    return generation;
  }

  /** Until the next try, or until it is asked for. */
  async #wait(pause: Pause): Promise<void> {
    if (this.#isStopping() || pause === "none") return;
    const isForEver = pause === "for_ever";
    this.#enter(isForEver ? "failed" : "backing_off");
    await waitMs(isForEver ? FOR_EVER_MS : pause, undefined, { signal: this.#waking.signal }).catch(
      () => undefined,
    );
  }

  /** Takes over what a generation says of itself, unless the supervisor has plans of its own. */
  #follow(generation: Spawn): void {
    const { state } = generation;
    if (state !== this.#state) this.#logStep(generation);
    if (this.#isStopping() || (this.#state === "draining" && state === "ending")) return;
    this.#enter(state === "ending" ? "backing_off" : state);
  }

  #logStep({ state, client: { ready } }: Spawn): void {
    if (state === "loading") this.#life.greeted(this.#spawn());
    if (state !== "ready" || ready === null) return;
    this.#life.ready(this.#spawn(), ready);
    this.#proofTimer = setTimeout(() => {
      this.#recovery.noteSuccess(this.#spawn());
    }, this.#limits.stableMs);
  }

  #spawn(): SpawnId {
    const pid = this.#generation?.describe().pid ?? null;
    return { sidecar: this.#options.index ?? 0, generation: this.#generationCount, pid };
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  #enter(state: SidecarState): void {
    if (state !== this.#state) {
      this.#state = state;
      this.#since = Date.now();
    }
    this.#statusListeners.tell(this.status());
  }
}
