import { readdirSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { Dealer } from "zeromq";
import { AppError } from "../../src/errors.js";
import { MAGIC } from "../../src/wire/frames.js";
import { PATIENCE } from "../support/processes.js";
import { createTask, never, runTask, startGated, startReady } from "./support.js";

describe("a sidecar that works", () => {
  test("becomes ready and makes an image of the seed", async () => {
    const { supervisor, states, lines } = await startReady("normal");

    const image = await runTask(supervisor, createTask({ seed: 0x010203 }));

    expect(image).toMatchObject({ width: 8, height: 4, seed: 0x010203, imageTokens: 16 });
    expect([...image.rgb.slice(0, 6)]).toEqual([1, 2, 3, 1, 2, 3]);
    expect(image.rgb.length).toBe(8 * 4 * 3);
    expect(states).toEqual(["starting", "loading", "ready"]);
    await expect.poll(() => lines.join(""), PATIENCE).toContain("fake sidecar with 2 slots");
  });

  test("has a status with all that is known of it", async () => {
    const { supervisor } = await startReady("normal");

    await expect.poll(() => supervisor.status().rssBytes, PATIENCE).toBeGreaterThan(0);

    expect(supervisor.status()).toMatchObject({
      state: "ready",
      generation: 1,
      restarts: 0,
      phase: null,
      lastFailure: null,
      nextTryAt: null,
      running: 0,
      droppedFrames: 0,
      ready: { slots: 2, device: "cpu:0 fake" },
    });
    expect(supervisor.status().pid).toBeGreaterThan(0);
    expect(supervisor.status().beatAgeMs).toBeGreaterThanOrEqual(0);
  });

  test("has as many seats as slots and prefetched tasks, and says when one is free", async () => {
    const { supervisor, openGate } = await startGated();
    const seats: number[] = [];
    supervisor.onSeat(() => seats.push(supervisor.freeSeats()));
    expect(supervisor.freeSeats()).toBe(4);

    const images = [1, 2, 3, 4].map(() => runTask(supervisor));

    expect(supervisor.freeSeats()).toBe(0);
    expect(supervisor.status().running).toBe(4);
    expect(supervisor.takeSeat("shared")).toBeNull();
    openGate();
    await Promise.all(images);
    expect(seats).toEqual([1, 2, 3, 4]);
  });

  test("reports the progress of each task", async () => {
    const { supervisor } = await startReady("normal", { args: ["--chunks", "3"] });
    const counts: number[] = [];

    await runTask(supervisor, createTask(), {
      signal: never(),
      onProgress: (count) => counts.push(count),
    });

    expect(counts).toEqual([0, 1, 2, 3]);
  });

  test("is not mixed up with another program on the same socket", async () => {
    const { supervisor, folder } = await startReady("normal");
    const [runFolder] = readdirSync(folder);
    const intruder = new Dealer({ routingId: "s0-g1-guess", linger: 0 });
    onTestFinished(() => {
      intruder.close();
    });
    intruder.connect(`ipc://${folder}/${runFolder ?? ""}/s.sock`);

    await intruder.send([MAGIC, "BYE", '{"reason":"mischief"}']);

    await expect.poll(() => supervisor.status().droppedFrames, PATIENCE).toBe(1);
    expect(supervisor.freeSeats()).toBe(4);
  });
});

describe("a task", () => {
  test("that is cancelled rejects at once and gives its seat back later", async () => {
    const { supervisor } = await startGated();
    const abort = new AbortController();
    const image = runTask(supervisor, createTask(), { signal: abort.signal });
    expect(supervisor.freeSeats()).toBe(3);

    abort.abort();

    await expect(image).rejects.toMatchObject({ code: "cancelled" });
    await expect.poll(() => supervisor.freeSeats(), PATIENCE).toBe(4);
    expect(supervisor.status().droppedFrames).toBe(0);
  });

  test("that is aborted before it begins is never sent, and rejects with the reason if it has one", async () => {
    const { supervisor } = await startReady("normal");
    const reason = new AppError("deadline_exceeded", "Too late.");

    const cancelled = runTask(supervisor, createTask(), { signal: AbortSignal.abort() });
    const late = runTask(supervisor, createTask(), { signal: AbortSignal.abort(reason) });

    await expect(cancelled).rejects.toMatchObject({ code: "cancelled" });
    await expect(late).rejects.toBe(reason);
    expect(supervisor.freeSeats()).toBe(4);
  });

  test.each([
    ["engine_error", "generation_failed", "The image was not made (engine_error)."],
    ["prompt_invalid", "invalid_value", "the task failed: prompt_invalid"],
  ])("that ends in %s rejects with %s and harms no other", async (end, code, message) => {
    const { supervisor } = await startReady("normal", { args: ["--refuse", end] });

    await expect(runTask(supervisor)).rejects.toMatchObject({ code, message });

    expect(supervisor.status()).toMatchObject({ state: "ready", generation: 1 });
    expect(supervisor.freeSeats()).toBe(4);
  });

  test.each([
    ["duplicate-result at sending", 1],
    ["unknown-task at generating", 1],
    ["later-message at generating", 0],
  ] as const)("is not disturbed by %s: %i frames are dropped", async (fault, droppedCount) => {
    const { supervisor } = await startReady(fault);

    await expect(runTask(supervisor)).resolves.toMatchObject({ width: 8 });

    await expect.poll(() => supervisor.status().droppedFrames, PATIENCE).toBe(droppedCount);
    expect(supervisor.status().state).toBe("ready");
  });

  test.each([
    ["is too long", "a".repeat(2 * 1024 * 1024)],
    ["has half a character", "a \ud83c circle"],
  ])("whose prompt %s for a message rejects without harm", async (_title, prompt) => {
    const { supervisor } = await startReady("normal");

    const image = runTask(supervisor, createTask({ prompt }));

    await expect(image).rejects.toMatchObject({ code: "invalid_value" });
    expect(supervisor.status().state).toBe("ready");
    expect(supervisor.freeSeats()).toBe(4);
  });
});

describe("a task that must run alone", () => {
  test("gets a seat in an idle sidecar only, and keeps others out until it is done", async () => {
    const { supervisor, openGate } = await startGated();
    const first = runTask(supervisor);
    expect(supervisor.takeSeat("alone")).toBeNull();
    openGate();
    await first;

    const lone = supervisor.takeSeat("alone")?.run(createTask(), { signal: never() });

    expect(supervisor.takeSeat("shared")).toBeNull();
    await lone;
    expect(supervisor.freeSeats()).toBe(4);
  });

  test("finds one sidecar kept free while it waits", async () => {
    const { supervisor } = await startReady("normal");
    supervisor.reserve(true);
    expect(supervisor.takeSeat("shared")).toBeNull();
    expect(supervisor.takeSeat("alone")).not.toBeNull();
    supervisor.reserve(false);
    expect(supervisor.freeSeats()).toBe(4);
  });
});
