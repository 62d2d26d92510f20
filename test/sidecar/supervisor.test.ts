import { readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Dealer } from "zeromq";
import type { RunOptions } from "../../src/sidecar/task.js";
import { MAGIC } from "../../src/wire/frames.js";
import { createTask, makeFolder, never, PATIENCE, startReady } from "./support.js";

const options: RunOptions = { signal: never() };

describe("a sidecar that works", () => {
  test("becomes ready and makes an image of the seed", async () => {
    const { supervisor, states, lines } = await startReady("normal");

    const image = await supervisor.run(createTask({ seed: 0x010203 }), options);

    expect(image).toMatchObject({ width: 8, height: 4, seed: 0x010203, imageTokens: 16 });
    expect([...image.rgb.slice(0, 6)]).toEqual([1, 2, 3, 1, 2, 3]);
    expect(image.rgb.length).toBe(8 * 4 * 3);
    expect(states).toEqual(["starting", "loading", "ready"]);
    await expect.poll(() => lines.join(""), PATIENCE).toContain("fake sidecar for /nowhere");
  });

  test("tells its status", async () => {
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

  test("has as many credits as slots and prefetched tasks, and says when one is free", async () => {
    const gate = path.join(makeFolder(), "gate");
    const { supervisor } = await startReady("normal", { args: ["--gate", gate] });
    const credits: number[] = [];
    supervisor.onCredit(() => credits.push(supervisor.freeCredits()));
    expect(supervisor.freeCredits()).toBe(4);

    const images = [1, 2, 3, 4].map(() => supervisor.run(createTask(), options));

    expect(supervisor.freeCredits()).toBe(0);
    expect(supervisor.status().running).toBe(4);
    await expect(supervisor.run(createTask(), options)).rejects.toMatchObject({
      code: "not_ready",
    });
    writeFileSync(gate, "");
    await Promise.all(images);
    expect(credits).toEqual([1, 2, 3, 4]);
  });

  test("reports the progress of each task", async () => {
    const { supervisor } = await startReady("normal", { args: ["--chunks", "3"] });
    const counts: number[] = [];

    await supervisor.run(createTask(), {
      signal: never(),
      onProgress: (count) => counts.push(count),
    });

    expect(counts).toEqual([0, 1, 2, 3]);
  });

  test("is read to the end of a flood of log lines", async () => {
    const { supervisor, lines } = await startReady("flood");

    // It says READY behind the flood. Whether the last line is logged or counted is a matter of pace.
    expect(lines.some((line) => /the flood is over|lines .* were dropped/.test(line))).toBe(true);
    expect(supervisor.status().generation).toBe(1);
  });

  test("is not mixed up with a stranger on the same socket", async () => {
    const { supervisor, folder } = await startReady("normal");
    const [runFolder] = readdirSync(folder);
    const stranger = new Dealer({ routingId: "s0-g1-guess", linger: 0 });
    onTestFinished(() => {
      stranger.close();
    });
    stranger.connect(`ipc://${folder}/${runFolder ?? ""}/s.sock`);

    await stranger.send([MAGIC, "BYE", '{"reason":"mischief"}']);

    await expect.poll(() => supervisor.status().droppedFrames, PATIENCE).toBe(1);
    expect(supervisor.freeCredits()).toBe(4);
  });

  test("may send messages of a later release", async () => {
    const { supervisor } = await startReady("unknown-type");

    await expect(supervisor.run(createTask(), options)).resolves.toMatchObject({ width: 8 });
  });
});

describe("a task", () => {
  test("that is cancelled rejects at once and gives its credit back later", async () => {
    const gate = path.join(makeFolder(), "gate");
    const { supervisor } = await startReady("normal", { args: ["--gate", gate] });
    const abort = new AbortController();
    const image = supervisor.run(createTask(), { signal: abort.signal });
    expect(supervisor.freeCredits()).toBe(3);

    abort.abort();

    await expect(image).rejects.toMatchObject({ code: "cancelled" });
    await expect.poll(() => supervisor.freeCredits(), PATIENCE).toBe(4);
    expect(supervisor.status().droppedFrames).toBe(0);
  });

  test("that was cancelled before it began is never sent", async () => {
    const { supervisor } = await startReady("normal");

    const image = supervisor.run(createTask(), { signal: AbortSignal.abort() });

    await expect(image).rejects.toMatchObject({ code: "cancelled" });
    expect(supervisor.freeCredits()).toBe(4);
  });

  test("whose deadline passes rejects", async () => {
    const gate = path.join(makeFolder(), "gate");
    const { supervisor } = await startReady("normal", { args: ["--gate", gate] });

    const image = supervisor.run(createTask({ deadlineInMs: 20 }), options);

    await expect(image).rejects.toMatchObject({ code: "deadline_exceeded" });
    await expect.poll(() => supervisor.freeCredits(), PATIENCE).toBe(4);
  });

  test.each([
    ["task-failed", "generation_failed", "The image was not made (engine_error)."],
    ["prompt-invalid", "invalid_value", "the task failed: prompt_invalid"],
  ])("that ends in %s rejects with %s and harms no other", async (mode, code, message) => {
    const { supervisor } = await startReady(mode);

    await expect(supervisor.run(createTask(), options)).rejects.toMatchObject({ code, message });

    expect(supervisor.status()).toMatchObject({ state: "ready", generation: 1 });
    expect(supervisor.freeCredits()).toBe(4);
  });

  test("that is answered twice ends once, and the second answer is counted", async () => {
    const { supervisor } = await startReady("duplicate-result");

    await supervisor.run(createTask(), options);

    await expect.poll(() => supervisor.status().droppedFrames, PATIENCE).toBe(1);
    expect(supervisor.status().state).toBe("ready");
  });

  test("is not disturbed by answers to a task that nobody has", async () => {
    const { supervisor } = await startReady("stranger-task");

    await supervisor.run(createTask(), options);

    expect(supervisor.status().droppedFrames).toBe(1);
  });

  test.each([
    ["is too long", "a".repeat(2 * 1024 * 1024)],
    ["has half a character", "a \ud83c circle"],
  ])("whose prompt %s for a message rejects without harm", async (_title, prompt) => {
    const { supervisor } = await startReady("normal");

    const image = supervisor.run(createTask({ prompt }), options);

    await expect(image).rejects.toMatchObject({ code: "invalid_value" });
    expect(supervisor.freeCredits()).toBe(4);
  });
});
