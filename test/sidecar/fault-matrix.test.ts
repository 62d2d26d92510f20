/** Every fault at every moment of a sidecar's life, each with a request in progress: what becomes of both. */
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, expect, test, vi } from "vitest";
import { Admission, type SidecarView } from "../../src/jobs/admission.js";
import type { JobImage } from "../../src/jobs/events.js";
import { createLogger } from "../../src/log.js";
import type { SupervisionLimits } from "../../src/sidecar/limits.js";
import { Supervisor } from "../../src/sidecar/supervisor.js";
import { DEFAULT_LIMITS } from "../support/defaults.js";
import { expectGone, PATIENCE } from "../support/processes.js";
import { createTestQueue, LONG_MS, type TestQueue } from "../support/test-queue.js";
import { createProgram, PLAIN, waitForStatus } from "./support.js";

const MOMENTS = [
  "before-hello",
  "after-hello",
  "loading",
  "compiling",
  "idle",
  "generating",
  "sending",
  "draining",
] as const;
type Moment = (typeof MOMENTS)[number];

/** These end the sidecar, or it is ended for them; another one finishes the work. */
const DEADLY = [
  "exit-0",
  "exit-1",
  "sigkill",
  "sigstop",
  "gil-held",
  "busy-loop",
  "silence",
  "garbage",
  "oversize",
  "wrong-token",
] as const;
/** These are noticed at most. */
const HARMLESS = [
  "duplicate-result",
  "unknown-task",
  "late-result",
  "stderr-flood",
  "closed-stdin",
] as const;
/** A restart would bring the same again. */
const PERMANENT = ["wrong-version"] as const;

type Fate = "works on" | "is replaced" | "is given up";

/** What may be said only after HELLO: before it, it is a breach of the protocol like any other. */
const NEEDS_HELLO: readonly string[] = ["duplicate-result", "unknown-task"];

function decideFate(moment: Moment, fault: string): Fate {
  if (PERMANENT.some((one) => one === fault)) return "is given up";
  if (DEADLY.some((one) => one === fault) || moment === "draining") return "is replaced";
  const isEarly = moment === "before-hello" && NEEDS_HELLO.includes(fault);
  return isEarly ? "is replaced" : "works on";
}

const CELLS = MOMENTS.flatMap((moment) =>
  [...DEADLY, ...HARMLESS, ...PERMANENT].map((fault) => ({
    moment,
    fault,
    fate: decideFate(moment, fault),
  })),
);

/** Short where a fault is to be noticed, and never reached where none is. */
function createLimits(moment: Moment, fate: Fate): Partial<SupervisionLimits> {
  const helloLimitMs = moment === "before-hello" && fate === "is replaced" ? 4_000 : 30_000;
  if (fate === "works on") {
    const missed = { missedBeatLimit: 100, startMissedBeatLimit: 100 };
    return { beatIntervalMs: 200, ...missed, helloLimitMs, acceptLimitMs: 30_000 };
  }
  return {
    beatIntervalMs: 200,
    missedBeatLimit: 6,
    startMissedBeatLimit: 6,
    helloLimitMs,
    killGraceMs: 50,
    phaseBudgetMs: { load: 1_000, compile: 1_000, generate: 1_000, drain: 1_000 },
  };
}
const DRAIN_MS = 2_000;

/** One supervisor of one sidecar with one fault, and requests for two images. */
class Cell {
  readonly folder = mkdtempSync(path.join(os.tmpdir(), "dalle-test-"));
  readonly once = mkdtempSync(path.join(os.tmpdir(), "dalle-once-"));
  readonly supervisor: Supervisor;
  readonly images: JobImage[] = [];
  readonly pids = new Set<number>();
  readonly #queue: TestQueue;

  constructor(fault: string, moment: Moment, fate: Fate) {
    // Two tasks are there at each fault, and at that of the drain neither has been begun.
    const gather = moment === "draining" ? "3" : "2";
    const args = ["--once", this.onceFile, "--gather", gather];
    this.supervisor = new Supervisor({
      program: createProgram(`${fault} at ${moment}`, args),
      ...PLAIN,
      log: createLogger("silent"),
      limits: { ...DEFAULT_LIMITS, ...createLimits(moment, fate) },
      runFolderParent: this.folder,
      random: () => 0,
    });
    const admission = new Admission(this.#asOnceReady(), LONG_MS);
    this.#queue = createTestQueue(this.supervisor, { admission, queueLimit: 9 });
    this.supervisor.onStatus(() => {
      const { pid } = this.supervisor.status();
      if (pid !== null) this.pids.add(pid);
    });
  }

  /** As after a first READY: jobs wait for the next sidecar until it has given up. */
  #asOnceReady(): SidecarView {
    return {
      status: () => {
        const status = this.supervisor.status();
        return status.state === "failed" ? status : { ...status, state: "ready" };
      },
      onStatus: (listener) => this.supervisor.onStatus(listener),
    };
  }

  get onceFile(): string {
    return path.join(this.once, "done");
  }

  async submit(): Promise<void> {
    const job = this.#queue.submit("a", 2, { firstSeed: 5 });
    await job.done;
    this.images.push(...job.images);
  }

  async dispose(): Promise<void> {
    this.supervisor.kill();
    await this.supervisor.stop({ drainMs: 0 });
    rmSync(this.folder, { recursive: true });
    rmSync(this.once, { recursive: true });
  }
}

/** For docs/operations.md: how long it took to notice the fault, and to be ready again. */
function report(cell: Cell, title: string, readyAtMs: number): void {
  const file = process.env["FAULT_REPORT"];
  const { lastFailure } = cell.supervisor.status();
  if (file === undefined || lastFailure === null) return;
  const startMs = statSync(cell.onceFile).mtimeMs;
  const times = [lastFailure.at - startMs, readyAtMs - startMs].map((ms) => Math.round(ms));
  appendFileSync(file, `${[title, lastFailure.code, ...times].join("\t")}\n`);
}

async function expectFate(cell: Cell, fate: Fate, moment: Moment): Promise<void> {
  const { supervisor } = cell;
  supervisor.start();
  if (moment === "idle") {
    await vi.waitFor(() => {
      expect(existsSync(cell.onceFile)).toBe(true);
    }, PATIENCE);
  }
  const done = cell.submit();
  done.catch(() => undefined);
  if (moment === "draining") {
    await waitForStatus(supervisor, ({ state }) => state === "ready");
    await vi.waitFor(() => {
      expect(supervisor.status().running).toBe(2);
    }, PATIENCE);
    await supervisor.restart({ drainMs: DRAIN_MS });
  }
  if (fate === "is given up") {
    await waitForStatus(supervisor, ({ state }) => state === "failed");
    // The first of two images may have been sent before.
    if (moment !== "sending") await expect(done).rejects.toMatchObject({ code: "not_ready" });
    return;
  }
  await done;
  expect(cell.images.map(({ seed }) => seed)).toEqual([5, 6]);
  const { generation } = await waitForStatus(supervisor, ({ state }) => state === "ready");
  expect(generation > 1).toBe(fate === "is replaced");
  await expect(cell.submit()).resolves.toBeUndefined();
}

describe.each(MOMENTS)("%s", (moment) => {
  const cells = CELLS.filter((cell) => cell.moment === moment);
  test.concurrent.each(cells)("after $fault the sidecar $fate", async ({ fault, fate }) => {
    const cell = new Cell(fault, moment, fate);
    try {
      await expectFate(cell, fate, moment);
      expect(existsSync(cell.onceFile)).toBe(true);
      report(cell, `${moment}\t${fault}`, Date.now());
      await cell.supervisor.stop({ drainMs: 1_000 });
      expect(readdirSync(cell.folder)).toEqual([]);
      await expectGone(...cell.pids);
    } finally {
      await cell.dispose();
    }
  });
});
