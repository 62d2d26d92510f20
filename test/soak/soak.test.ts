/** The short form of `npm run soak`. */
import { test } from "vitest";
import { runRound } from "./round.mjs";
import { FAULTS } from "./schedule.mjs";

/** Fixed, so that a failure can be repeated. */
const SEED = 20_261_121;
const LIMIT_MS = 240_000;

test.concurrent.for([
  { isSaving: false, sidecarCount: 1 },
  { isSaving: true, sidecarCount: 2 },
])(
  "under random faults every request ends once and nothing is left: $sidecarCount sidecar(s), saving $isSaving",
  { timeout: LIMIT_MS },
  async ({ isSaving, sidecarCount }, { expect }) => {
    const report = await runRound({
      seed: SEED + sidecarCount,
      warmUpMs: 4_000,
      durationMs: 20_000,
      sidecar: "fake",
      sidecarCount,
      isSaving,
      faults: FAULTS,
      flags: [],
      // After so short a time the memory says nothing.
      memoryTolerance: null,
    });
    expect(report.problems).toEqual([]);
    expect(report.load.outcomes.filter(({ code }) => code === "ok").length).toBeGreaterThan(10);
    expect(report.load.faults.length).toBeGreaterThan(1);
  },
);
