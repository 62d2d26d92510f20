/** Every fault at every moment of a sidecar's life, each with a request in progress: what becomes of both. */
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, expect, test, vi } from "vitest";
import { createLogger } from "../../src/log.js";
import type { SupervisionLimits } from "../../src/sidecar/limits.js";
import { Supervisor } from "../../src/sidecar/supervisor.js";
import { DEFAULT_LIMITS } from "../support/defaults.js";
import { expectGone, PATIENCE } from "../support/processes.js";
import { createTestQueue, type TestQueue } from "../support/test-queue.js";
import { createProgram, PLAIN, waitForReady, waitForStatus } from "./support.js";

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

/** A sidecar that is replaced ends, or is ended; another one finishes its work. */
type Fate = "works on" | "is replaced" | "is given up";

const FATES: Readonly<Record<string, Fate>> = {
  "exit-0": "is replaced",
  "exit-1": "is replaced",
  sigkill: "is replaced",
  sigstop: "is replaced",
  "gil-held": "is replaced",
  "busy-loop": "is replaced",
  silence: "is replaced",
  garbage: "is replaced",
  oversize: "is replaced",
  "wrong-token": "is replaced",
  "duplicate-result": "works on",
  "unknown-task": "works on",
  "late-result": "works on",
  "stderr-flood": "works on",
  "closed-stdin": "works on",
  "wrong-version": "is given up",
};

/** What may be said only after HELLO: before it, it is a breach of the protocol like any other. */
const NEEDS_HELLO = ["duplicate-result", "unknown-task"];

function decideFate(moment: Moment, fault: string, usual: Fate): Fate {
  const isBreach = moment === "before-hello" && NEEDS_HELLO.includes(fault);
  return usual === "works on" && (isBreach || moment === "draining") ? "is replaced" : usual;
}

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

/** One supervisor of one sidecar with one fault, and a queue above it. */
class Cell {
  readonly folder = mkdtempSync(path.join(os.tmpdir(), "dalle-test-"));
  readonly onceFile = path.join(this.folder, "once");
  readonly supervisor: Supervisor;
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
    // As after a first READY: jobs wait for the next sidecar until it has given up.
    this.#queue = createTestQueue(this.supervisor, { queueLimit: 9 });
    this.supervisor.onStatus(() => {
      const status = this.supervisor.status();
      if (status.state === "failed") this.#queue.sidecar.set(status);
      if (status.pid !== null) this.pids.add(status.pid);
    });
  }

  /** Asks for two images, and resolves with their seeds; rejects with what was refused or failed. */
  async draw(): Promise<number[]> {
    const { done, images } = this.#queue.submit("a", 2, { firstSeed: 5 });
    await done;
    return images.map(({ seed }) => seed);
  }

  async dispose(): Promise<void> {
    this.supervisor.kill();
    await this.supervisor.stop({ drainMs: 0 });
    rmSync(this.folder, { recursive: true });
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
  const drawn = cell.draw();
  drawn.catch(() => undefined);
  if (moment === "draining") {
    await waitForReady(supervisor);
    await vi.waitFor(() => {
      expect(supervisor.status().running).toBe(2);
    }, PATIENCE);
    await supervisor.restart({ drainMs: DRAIN_MS });
  }
  if (fate === "is given up") {
    await waitForStatus(supervisor, ({ state }) => state === "failed");
    // The first of two images may have been sent before.
    if (moment !== "sending") await expect(drawn).rejects.toMatchObject({ code: "not_ready" });
    return;
  }
  expect(await drawn).toEqual([5, 6]);
  const { generation } = await waitForStatus(supervisor, ({ state }) => state === "ready");
  expect(generation > 1).toBe(fate === "is replaced");
  expect(await cell.draw()).toEqual([5, 6]);
}

describe.each(MOMENTS)("%s", (moment) => {
  const cells = Object.entries(FATES).map(([fault, usual]) => ({
    fault,
    fate: decideFate(moment, fault, usual),
  }));
  test.concurrent.each(cells)("after $fault the sidecar $fate", async ({ fault, fate }) => {
    const cell = new Cell(fault, moment, fate);
    try {
      await expectFate(cell, fate, moment);
      report(cell, `${moment}\t${fault}`, Date.now());
      await cell.supervisor.stop({ drainMs: 1_000 });
      // The trace of the fault is there, and nothing of the supervisor.
      expect(readdirSync(cell.folder)).toEqual(["once"]);
      await expectGone(...cell.pids);
    } finally {
      await cell.dispose();
    }
  });
});
