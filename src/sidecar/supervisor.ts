import { describeError } from "../errors.js";
import { createReturnError, createStopError } from "./failure.js";
import { Spawn } from "./spawn.js";
import { EventLog, type SpawnId } from "./event-log.js";
import type { SidecarClient } from "./link/client.js";
import { Listeners } from "./listeners.js";
import type { SupervisorOptions } from "./limits.js";
import { openEndpoint, type Endpoint } from "./endpoint.js";
import { Recovery, type Pause } from "./restart/recovery.js";
import { NO_PROCESS, type SidecarState, type SidecarStatus } from "./status.js";
import type { Seat, SeatKind, TaskRunner } from "./task.js";
import { waitMs } from "./wait.js";

/** The longest timer that Node has. */
const LONGEST_WAIT_MS = 2 ** 31 - 1;

/**
 * Keeps one sidecar running: starts it, watches it, starts it again when it ends, gives up when that
 * would not help, and ends it without leaving anything behind.
 *
 * It retries no task: those of a sidecar that ended are rejected with `sidecar_lost`.
 */
export class Supervisor implements TaskRunner {
  readonly #options: SupervisorOptions;
  readonly #events: EventLog;
  readonly #recovery: Recovery;
  readonly #statusListeners = new Listeners();
  readonly #seatListeners = new Listeners();
  readonly #stopping = new AbortController();
  /** Aborted to end a wait early. */
  #waking = new AbortController();
  #endpoint: Endpoint | null = null;
  #spawn: Spawn | null = null;
  #done: Promise<void> | null = null;
  #proofTimer: NodeJS.Timeout | undefined;
  #state: SidecarState = "starting";
  #since = Date.now();
  #spawnCount = 0;
  #droppedCount = 0;
  /** Whether the next task is one that must have the sidecar alone. */
  #isReserved = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#events = new EventLog(options.log);
    this.#recovery = new Recovery(options.limits, this.#events, options.random);
  }

  /** Starts the sidecar; `status` and `onStatus` show what becomes of it. */
  start(): void {
    if (this.#done !== null) throw new Error("a supervisor is started once");
    this.#done = this.#supervise();
  }

  status(): SidecarStatus {
    const spawn = this.#spawn;
    return {
      index: this.#options.index,
      state: this.#state,
      since: this.#since,
      generation: this.#spawnCount,
      restarts: Math.max(0, this.#spawnCount - 1),
      nextTryAt: this.#state === "backing_off" ? this.#recovery.nextTryAt() : null,
      ...this.#recovery.status(),
      droppedFrames: this.#droppedCount + (spawn?.client.droppedCount ?? 0),
      refusedConnections: this.#endpoint?.transport.refusedCount ?? 0,
      ...(spawn?.status() ?? NO_PROCESS),
    };
  }

  /** Calls `listener` after each change of the state or the phase; returns what removes it. */
  onStatus(listener: () => void): () => void {
    return this.#statusListeners.add(listener);
  }

  onSeat(listener: () => void): () => void {
    return this.#seatListeners.add(listener);
  }

  /** How many shared seats are free. */
  freeSeats(): number {
    return this.#isReserved ? 0 : (this.#readyClient()?.freeSeats() ?? 0);
  }

  takeSeat(kind: SeatKind): Seat | null {
    if (this.#isReserved && kind === "shared") return null;
    return this.#readyClient()?.takeSeat(kind) ?? null;
  }

  reserve(isWanted: boolean): void {
    if (this.#isReserved === isWanted) return;
    this.#isReserved = isWanted;
    if (!isWanted) this.#seatListeners.notify();
  }

  #readyClient(): SidecarClient | undefined {
    return this.#state === "ready" ? this.#spawn?.client : undefined;
  }

  /** Ends the sidecar as `stop` does, or the wait for the next one; then another starts. */
  async restart({ drainMs }: { readonly drainMs: number }): Promise<void> {
    if (this.#isStopping) return;
    this.#events.note("restart_asked", this.#spawnId());
    this.#waking.abort();
    const spawn = this.#spawn;
    if (spawn === null) return;
    this.#enter("draining");
    await spawn.stop(drainMs, createReturnError());
  }

  /**
   * Lets the sidecar finish what runs, at most for `drainMs`, and ends it. Afterwards no process,
   * socket or folder of it is left. A second call waits for the first.
   */
  async stop({ drainMs }: { readonly drainMs: number }): Promise<void> {
    if (!this.#isStopping) {
      this.#stopping.abort();
      this.#waking.abort();
      if (this.#state !== "failed") this.#enter("draining");
      await this.#spawn?.stop(drainMs, createStopError());
    }
    await this.#done;
    this.#enter("stopped");
  }

  /** Ends the sidecar at once, without a promise: for the last moment of a process. */
  kill(): void {
    this.#stopping.abort();
    this.#waking.abort();
    this.#spawn?.kill();
    this.#endpoint?.removeNow();
    this.#enter("stopped");
  }

  async #supervise(): Promise<void> {
    try {
      this.#endpoint = await openEndpoint(this.#options, this.#events, (peer, frames) => {
        if (peer === this.#spawn?.identity) this.#spawn.receive(frames);
        else this.#droppedCount += 1;
      });
      while (!this.#isStopping) await this.#wait(await this.#runSpawn(this.#endpoint));
    } catch (error) {
      // The folder, the socket or the start itself: none of them goes away by trying again.
      const failure = { code: "start_failed", message: describeError(error), isPermanent: true };
      this.#recovery.judge({ failure, noticedAt: Date.now(), lastLines: [] }, this.#spawnId());
      if (!this.#isStopping) this.#enter("failed");
    }
    await this.#endpoint?.close();
  }

  /** Resolves when the spawn has ended, with the time to wait before the next. */
  async #runSpawn(endpoint: Endpoint): Promise<Pause> {
    this.#spawnCount += 1;
    this.#waking = new AbortController();
    this.#recovery.noteStart();
    const spawn: Spawn = new Spawn({
      ...this.#options,
      number: this.#spawnCount,
      transport: endpoint.transport,
      onChange: () => {
        this.#follow(spawn);
      },
      onFreed: () => {
        if (spawn.client.tasks.finishedCount > 0) this.#recovery.noteSuccess(this.#spawnId());
        this.#seatListeners.notify();
      },
    });
    this.#spawn = spawn;
    endpoint.noteSpawn(spawn.identity, this.#spawnId().pid);
    this.#events.note("started", this.#spawnId());
    this.#enter("starting");
    const end = await spawn.ended;
    clearTimeout(this.#proofTimer);
    if (spawn.isProven(this.#options.limits.stableMs)) this.#recovery.noteProven();
    this.#droppedCount += spawn.client.droppedCount;
    const pause = this.#recovery.judge(end, this.#spawnId());
    this.#spawn = null;
    return pause;
  }

  /** Until the next try, or until it is asked for. */
  async #wait(pause: Pause): Promise<void> {
    if (this.#isStopping || pause === "none") return;
    const isUntilAsked = pause === "until_asked";
    this.#enter(isUntilAsked ? "failed" : "backing_off");
    await waitMs(isUntilAsked ? LONGEST_WAIT_MS : pause, this.#waking.signal);
  }

  /** Takes over the state of a spawn, unless the supervisor has plans of its own. */
  #follow(spawn: Spawn): void {
    const { state } = spawn;
    if (state !== this.#state) this.#logStep(spawn);
    if (this.#isStopping || (this.#state === "draining" && state === "ending")) return;
    this.#enter(state === "ending" ? "backing_off" : state);
  }

  #logStep({ state, client: { ready } }: Spawn): void {
    if (state === "loading") this.#events.note("greeted", this.#spawnId());
    if (state !== "ready" || ready === null) return;
    this.#events.ready(this.#spawnId(), ready);
    this.#proofTimer = setTimeout(() => {
      this.#recovery.noteSuccess(this.#spawnId());
    }, this.#options.limits.stableMs);
  }

  #spawnId(): SpawnId {
    const pid = this.#spawn?.status().pid ?? null;
    return { sidecar: this.#options.index, generation: this.#spawnCount, pid };
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  #enter(state: SidecarState): void {
    if (state !== this.#state) {
      this.#state = state;
      this.#since = Date.now();
    }
    this.#statusListeners.notify();
  }
}
