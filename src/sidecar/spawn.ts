import { randomBytes } from "node:crypto";
import type { AppError } from "../errors.js";
import { encode } from "../wire/frames.js";
import type { DownMessage } from "../wire/messages.js";
import { SidecarClient } from "./link/client.js";
import { chooseSettleMs, createLostError, createStopError, describeExit } from "./failure.js";
import type { Failure, SpawnEnd } from "./failure.js";
import { Liveness } from "./watch/liveness.js";
import { createLaunch } from "./process/launch.js";
import type { SupervisorOptions } from "./limits.js";
import { PhaseTracker } from "./watch/phase-progress.js";
import { SidecarProcess } from "./process/process.js";
import { OutputLog } from "./process/output-log.js";
import { StartTimeout } from "./watch/start-timeout.js";
import type { NO_PROCESS, SidecarStatus } from "./status.js";
import type { Transport } from "./link/transport.js";
import { waitMs } from "./wait.js";

/** How many log lines go into the report of a failure. */
const REPORTED_LINE_COUNT = 40;

interface SpawnOptions extends Omit<SupervisorOptions, "transport"> {
  /** Which spawn of its sidecar this is. */
  readonly number: number;
  readonly transport: Transport;
  /** Something that the status shows has changed. */
  readonly onChange: () => void;
  readonly onFreed: () => void;
}

type SpawnState = "starting" | "loading" | "ready" | "ending";

/** One spawn of the sidecar from its start to its last line: process, link and watch. */
export class Spawn {
  readonly identity: string;
  readonly client: SidecarClient;
  /** Resolves once, when nothing of it is left. */
  readonly ended: Promise<SpawnEnd>;
  readonly #options: SpawnOptions;
  readonly #process: SidecarProcess;
  readonly #liveness: Liveness;
  readonly #output: OutputLog;
  readonly #startTimeout: StartTimeout;
  #state: SpawnState = "starting";
  #stateAtExit: SpawnState = "starting";
  /** The first cause wins: what follows is its effect. */
  #failure: Failure | null = null;
  readonly #failed = new AbortController();
  #noticedAt: number | null = null;
  #isClosed = false;
  /** Set when it was asked to end. */
  #taskError: AppError | null = null;
  #readyAtMs: number | null = null;
  readonly #progress = new PhaseTracker();
  #rssBytes: number | null = null;

  constructor(options: SpawnOptions) {
    this.#options = options;
    const nonce = randomBytes(8).toString("hex");
    this.identity = `s${options.index}-g${options.number}-${nonce}`;
    const token = randomBytes(32).toString("hex");
    this.client = this.#createClient(token);
    this.#liveness = this.#createLiveness();
    const ids = { sidecar: options.index, generation: options.number };
    this.#output = new OutputLog(options.log.child(ids), options.limits);
    this.#process = this.#createProcess(token);
    this.#startTimeout = new StartTimeout(options.limits, (failure) => {
      this.#fail(failure);
    });
    this.ended = this.#waitForEnd();
  }

  get state(): SpawnState {
    return this.#state;
  }

  /** The part of the status that is this process. */
  status(): Pick<SidecarStatus, keyof typeof NO_PROCESS> {
    return {
      pid: this.#process.pid,
      phase: this.#progress.phase,
      ready: this.#state === "ready" ? this.client.ready : null,
      beatAgeMs: this.#state === "starting" ? null : Math.round(this.#liveness.silenceMs),
      stepAgeMs: this.#liveness.stepAgeMs,
      running: this.client.tasks.size,
      rssBytes: this.#rssBytes,
    };
  }

  /** Whether it was ready for `stableMs` and made an image. */
  isProven(stableMs: number): boolean {
    if (this.#readyAtMs === null || this.client.tasks.finishedCount === 0) return false;
    return performance.now() - this.#readyAtMs >= stableMs;
  }

  receive(frames: readonly Uint8Array[]): void {
    this.#liveness.noteFrame();
    this.client.receive(frames);
  }

  /** Lets it finish what runs, at most for `drainMs`, then ends it; `taskError` ends the tasks that are left. */
  async stop(drainMs: number, taskError: AppError): Promise<void> {
    this.#taskError ??= taskError;
    const { killGraceMs } = this.#options.limits;
    if (this.#state === "ready") {
      const timer = setTimeout(() => void this.#process.terminate(killGraceMs), drainMs);
      await this.client.drain().catch(() => undefined);
      await this.ended;
      clearTimeout(timer);
    } else {
      await this.#process.terminate(Math.min(drainMs, killGraceMs));
      await this.ended;
    }
  }

  /** Ends the whole group at once. */
  kill(): void {
    this.#taskError ??= createStopError();
    this.#process.killGroup();
  }

  #createClient(token: string): SidecarClient {
    const { config, prefetch, limits, number, onFreed, onChange } = this.#options;
    return new SidecarClient({
      generation: number,
      token,
      config: { ...config, beatIntervalMs: limits.beatIntervalMs },
      prefetch,
      acceptLimitMs: limits.acceptLimitMs,
      send: (message) => this.#send(message),
      onWelcomed: () => {
        this.#startTimeout.noteHello();
        this.#enter("loading");
        this.#liveness.start();
      },
      onPhase: (phase) => {
        this.#progress.note(phase);
        if (phase.name === "download") this.#startTimeout.noteDownload();
        onChange();
      },
      onReady: () => {
        this.#readyAtMs = performance.now();
        this.#progress.clear();
        this.#liveness.noteReady();
        this.#startTimeout.stop();
        this.#enter("ready");
      },
      onBeat: (beat) => {
        this.#rssBytes = beat.rssBytes;
        this.#liveness.noteBeat(beat);
      },
      onFreed,
      onFailure: (failure) => {
        this.#fail(failure);
      },
    });
  }

  #createLiveness(): Liveness {
    return new Liveness({
      limits: this.#options.limits,
      // A peer that is gone is noticed by its exit or by its silence.
      ping: (sequence) => void this.#send({ type: "PING", sequence }).catch(() => undefined),
      onDead: (failure) => {
        this.#process.requestStacks();
        this.#fail(failure);
      },
    });
  }

  #createProcess(token: string): SidecarProcess {
    const { program, transport, number: generation } = this.#options;
    const { endpoint, keys } = transport;
    const introduction = { endpoint, identity: this.identity, token, keys };
    return new SidecarProcess(createLaunch(program, { ...introduction, generation }), {
      onLine: (line) => {
        this.#output.add(line);
      },
      onExit: () => {
        this.client.closeSeats();
        this.#noteExit();
      },
    });
  }

  async #send(message: DownMessage): Promise<void> {
    await this.#options.transport.send(this.identity, encode(message));
  }

  #enter(state: SpawnState): void {
    // Its last messages may arrive after its exit; none of them brings it back.
    if (this.#state === "ending") return;
    this.#state = state;
    this.#options.onChange();
  }

  /** It counts as ended from now on; messages it sent before still count until it is closed. */
  #noteExit(): void {
    this.#noticedAt ??= Date.now();
    this.#stateAtExit = this.#state;
    this.#enter("ending");
  }

  /** Gives up on it: its tasks are lost from now on, even while the process takes time to end. */
  #fail(failure: Failure): void {
    if (this.#failure !== null || this.#isClosed) return;
    this.#failure = failure;
    this.#failed.abort();
    this.#noticedAt ??= Date.now();
    this.#close();
    void this.#process.terminate(this.#options.limits.killGraceMs);
  }

  #close(): void {
    this.#startTimeout.stop();
    this.#liveness.stop();
    this.#isClosed = true;
    this.client.close(this.#taskError ?? createLostError());
    this.#enter("ending");
  }

  async #waitForEnd(): Promise<SpawnEnd> {
    const exit = await this.#process.exited;
    this.#output.end();
    await waitMs(chooseSettleMs(exit), this.#failed.signal);
    const isAsked = this.#taskError !== null;
    const failure = this.#failure ?? (isAsked ? null : describeExit(exit, this.#stateAtExit));
    this.#close();
    const noticedAt = this.#noticedAt ?? Date.now();
    return { failure, noticedAt, lastLines: this.#process.lastLines(REPORTED_LINE_COUNT) };
  }
}
