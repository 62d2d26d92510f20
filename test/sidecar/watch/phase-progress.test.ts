import { expect, test } from "vitest";
import { PhaseTracker } from "../../../src/sidecar/watch/phase-progress.js";

function createPace() {
  let nowMs = 0;
  const pace = new PhaseTracker(() => nowMs);
  const noteAt = (atMs: number, done: number, name: "download" | "load" = "download") => {
    nowMs = atMs;
    pace.note({ name, done, total: 1000, unit: "bytes" });
    return pace.phase;
  };
  return { pace, noteAt };
}

test("speed and time left are unknown until the second message", () => {
  const { pace, noteAt } = createPace();
  expect(pace.phase).toBeNull();
  expect(noteAt(0, 400)).toMatchObject({ done: 400, perSecond: null, secondsLeft: null });
  expect(noteAt(2_000, 600)).toMatchObject({ perSecond: 100, secondsLeft: 4 });
});

test("the speed is that of the last half minute", () => {
  const { noteAt } = createPace();
  noteAt(0, 0);
  noteAt(10_000, 800);
  expect(noteAt(50_000, 810)).toMatchObject({ perSecond: null });
  expect(noteAt(60_000, 820)).toMatchObject({ perSecond: 1, secondsLeft: 180 });
});

test.each([
  ["another phase", 5, "load"],
  ["a step back", 50, "download"],
] as const)("%s starts a new measurement", (_name, done, name) => {
  const { noteAt } = createPace();
  noteAt(0, 0);
  noteAt(1_000, 100);
  expect(noteAt(2_000, done, name)).toMatchObject({ name, done, perSecond: null });
});

test("nothing is left of it once the sidecar is ready", () => {
  const { pace, noteAt } = createPace();
  noteAt(0, 1);
  pace.clear();
  expect(pace.phase).toBeNull();
});
