import { describe, expect, test } from "vitest";
import { createHoldingQueue } from "../support/test-queue.js";

describe("the events of a job", () => {
  test("are its starts, its progress, its images, and one end; late listeners of the queue hear them too", async () => {
    const { runner, queue, submit } = createHoldingQueue(1);
    const heard: string[] = [];
    const remove = queue.onEvent(({ type }) => heard.push(type));
    const job = submit("a", 2);
    runner.held[0]?.options.onProgress?.(3);
    await runner.finishInTurn(2);
    await job.done;
    remove();
    expect(job.events).toMatchObject([
      { type: "started", index: 0 },
      { type: "progress", index: 0, tokens: 3, newTokens: 3 },
      { type: "started", index: 1 },
      { type: "progress", index: 0, tokens: 4, newTokens: 1 },
      { type: "image", index: 0, image: { seed: 0, imageTokens: 4 } },
      { type: "progress", index: 1, tokens: 4, newTokens: 4 },
      { type: "image", index: 1, image: { seed: 1 } },
      { type: "completed" },
    ]);
    expect(heard).toEqual(job.events.map(({ type }) => type));
  });

  test("tell of a task that is begun again only what it has made since", async () => {
    const { runner, submit } = createHoldingQueue(1);
    const job = submit("a", 1);
    runner.held[0]?.options.onProgress?.(3);
    await runner.restart();
    runner.held[0]?.options.onProgress?.(2);
    job.cancel();
    expect(job.events).toMatchObject([
      { type: "started" },
      { type: "progress", tokens: 3, newTokens: 3 },
      { type: "progress", tokens: 2, newTokens: 2 },
      { type: "failed", error: { code: "cancelled" } },
    ]);
  });
});

describe("when no sidecar can come", () => {
  test("the jobs that wait for one end with the reason", async () => {
    const { sidecar, submit } = createHoldingQueue(0);
    const job = submit("a", 1);
    sidecar.set({ state: "failed" });
    await expect(job.done).rejects.toMatchObject({ code: "not_ready" });
  });
});
