import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Failure } from "../../../src/sidecar/failure.js";
import { StartTimeout } from "../../../src/sidecar/watch/start-timeout.js";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function createWatch() {
  const codes: string[] = [];
  const onLate = ({ code }: Failure) => codes.push(code);
  return { codes, watch: new StartTimeout({ helloLimitMs: 100, startLimitMs: 1_000 }, onLate) };
}

test("a sidecar that says nothing is late for HELLO", () => {
  const { codes } = createWatch();
  vi.advanceTimersByTime(100);
  expect(codes).toEqual(["hello_timeout"]);
});

test("one that is not ready in time is late, unless it downloads", () => {
  const { codes, watch } = createWatch();
  watch.noteHello();
  vi.advanceTimersByTime(900);
  watch.noteDownload();
  vi.advanceTimersByTime(900);
  expect(codes).toEqual([]);
  vi.advanceTimersByTime(100);
  expect(codes).toEqual(["start_timeout"]);
});

test("once stopped, nothing is late", () => {
  const { codes, watch } = createWatch();
  watch.stop();
  vi.advanceTimersByTime(10_000);
  expect(codes).toEqual([]);
});
