import { describe, expect, test } from "vitest";
import { JobQueue } from "../../src/jobs/queue.js";
import { FakeRunner } from "../support/fake-runner.js";

const DEFAULTS = { condScale: null, temperature: null, topK: null, topP: null };
const LONG_MS = 60_000;

describe("images that are made but not saved yet", () => {
  test("take room in the queue, so that a slow disk does not fill the memory", async () => {
    const disk = { unsaved: 8 };
    const runner = new FakeRunner();
    const queue = new JobQueue({
      runner,
      queueLimit: 10,
      deathLimit: 2,
      refusal: () => null,
      unsavedCount: () => disk.unsaved,
    });
    const spec = { prompt: "a", seeds: [1, 2, 3], sampling: DEFAULTS, deadlineInMs: LONG_MS };
    const submit = () => queue.submit(spec, { onImage: () => undefined });

    expect(submit).toThrow(expect.objectContaining({ code: "queue_full" }));
    expect(queue.describeFull(2)).toBeNull();

    disk.unsaved = 0;
    await expect(submit().done).resolves.toBeUndefined();
  });
});
