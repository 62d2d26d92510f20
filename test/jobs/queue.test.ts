import { describe, expect, test } from "vitest";
import { AppError } from "../../src/errors.js";
import { Quarantine } from "../../src/jobs/quarantine.js";
import { FakeRunner, createLostError } from "../support/fake-runner.js";
import { containing } from "../support/matchers.js";
import {
  createHoldingQueue,
  createTestQueue,
  LONG_MS,
  type SubmittedJob,
} from "../support/test-queue.js";

const seedsOf = (job: SubmittedJob) => job.images.map(({ seed }) => seed);
const promptsOf = (runner: FakeRunner) => runner.started.map(({ prompt }) => prompt).join("");

describe("order", () => {
  test("images keep their places whatever order they finish in", async () => {
    const { runner, submit } = createHoldingQueue(3);
    const job = submit("a", 3, { firstSeed: 10 });
    runner.held.reverse();
    await runner.finishInTurn(3);
    await job.done;
    expect(seedsOf(job)).toEqual([10, 11, 12]);
  });

  test("never runs more tasks than the runner has seats", async () => {
    const { runner, queue, submit } = createHoldingQueue(2);
    const job = submit("a", 5);
    expect(runner.started).toHaveLength(2);
    expect(queue.report()).toMatchObject({ waitingImages: 3, runningImages: 2 });
    await runner.finishInTurn(5);
    await job.done;
    expect(queue.report()).toMatchObject({ waitingImages: 0, finishedImages: 5, completedJobs: 1 });
  });

  test("jobs take turns, so one image does not wait for all of a hundred", async () => {
    const { runner, submit } = createTestQueue(new FakeRunner({ seats: 0 }));
    const jobs = [submit("A", 100), submit("B", 1), submit("C", 3)];
    runner.addSeats(1);
    await Promise.all(jobs.map(({ done }) => done));
    expect(promptsOf(runner).slice(0, 9)).toBe("ABCACACAA");
    expect(runner.started).toHaveLength(104);
  });

  test("a job that comes later gets the next free seat", async () => {
    const { runner, submit } = createHoldingQueue(1);
    submit("A", 3);
    submit("B", 1);
    await runner.finishInTurn(4);
    expect(promptsOf(runner)).toBe("AABA");
  });
});

describe("room", () => {
  test("refuses a job that does not fit behind the waiting ones, and says when to come back", () => {
    const { queue, submit } = createHoldingQueue(1, { queueLimit: 4 });
    submit("A", 4);
    submit("B", 1);
    expect(queue.report().waitingImages).toBe(4);
    expect(() => submit("C", 1)).toThrow(expect.objectContaining({ code: "queue_full" }));
    expect(queue.report()).toMatchObject({ rejectedJobs: 1, openJobs: 2 });
    const full = queue.refusal(1);
    expect(full?.retryAfterS).toBeGreaterThanOrEqual(1);
    expect(full?.retryAfterS).toBeLessThanOrEqual(60);
  });

  test("an idle server takes a job larger than the queue, but no second one", () => {
    const { submit } = createHoldingQueue(1, { queueLimit: 4 });
    submit("A", 100);
    expect(() => submit("B", 1)).toThrow(/99 images wait and at most 4 may/);
  });

  test("has room again when waiting images are done", async () => {
    const { runner, queue, submit } = createHoldingQueue(1, { queueLimit: 1 });
    submit("A", 2);
    expect(queue.refusal(1)?.code).toBe("queue_full");
    runner.finishNext();
    await runner.untilStarted(2);
    expect(queue.refusal(1)).toBeNull();
  });

  test("refuses with the reason of the admission", () => {
    const { queue, admission, submit } = createTestQueue(new FakeRunner());
    admission.stop();
    expect(() => submit("A", 1)).toThrow(expect.objectContaining({ code: "shutting_down" }));
    expect(queue.report()).toMatchObject({ rejectedJobs: 1, openJobs: 0 });
  });

  test("is taken by images that are made but not saved yet, so a slow disk cannot fill the memory", async () => {
    const disk = { unsaved: 8 };
    const { queue, submit } = createTestQueue(new FakeRunner(), {
      queueLimit: 10,
      unsavedCount: () => disk.unsaved,
    });
    expect(() => submit("A", 3)).toThrow(expect.objectContaining({ code: "queue_full" }));
    expect(queue.refusal(2)).toBeNull();
    disk.unsaved = 0;
    await expect(submit("A", 3).done).resolves.toBeUndefined();
  });
});

describe("a lost sidecar", () => {
  test("its tasks come first again with the same seeds, one at a time, before other jobs", async () => {
    const { runner, queue, submit } = createHoldingQueue(2);
    const job = submit("A", 2, { firstSeed: 5 });
    const other = submit("B", 1);
    await runner.restart();
    expect(runner.started.slice(2)).toMatchObject([{ prompt: "A", seed: 5, attempt: 2 }]);
    runner.finishNext();
    await runner.untilStarted(4);
    expect(runner.started.slice(3)).toMatchObject([{ prompt: "A", seed: 6, attempt: 2 }]);
    runner.finishNext();
    await job.done;
    await runner.untilStarted(5);
    runner.finishNext();
    await other.done;
    expect(seedsOf(job)).toEqual([5, 6]);
    expect(queue.report().retriedImages).toBe(2);
  });

  test("keeps the images that were finished before", async () => {
    const { runner, submit } = createHoldingQueue(3);
    const job = submit("A", 3, { firstSeed: 5 });
    runner.finishNext();
    await new Promise(setImmediate);
    await runner.restart();
    runner.finishNext();
    await runner.untilStarted(5);
    runner.finishNext();
    await job.done;
    expect(seedsOf(job)).toEqual([5, 6, 7]);
    expect(runner.started.map(({ seed }) => seed)).toEqual([5, 6, 7, 6, 7]);
  });

  test("that was only told to end gives its tasks back, and they are no suspects", async () => {
    const { runner, submit } = createHoldingQueue(2);
    const job = submit("A", 2, { firstSeed: 5 });
    for (let count = 0; count < 3; count += 1) {
      runner.failNext(new AppError("task_returned", "The sidecar is told to end."));
      await runner.untilStarted(3 + count);
    }
    expect(runner.held).toHaveLength(2);
    runner.finishNext();
    runner.finishNext();
    await job.done;
    expect(seedsOf(job)).toEqual([5, 6]);
  });

  test("waits for seats while the sidecar is away", async () => {
    const { runner, queue, submit } = createHoldingQueue(1);
    const job = submit("A", 1);
    runner.loseAll();
    await new Promise(setImmediate);
    expect(queue.report()).toMatchObject({ waitingImages: 1, runningImages: 0 });
    runner.comeBack();
    runner.finishNext();
    await job.done;
    expect(seedsOf(job)).toEqual([0]);
  });

  test("a task that loses it twice fails its job, and only its own", async () => {
    const { runner, queue, submit } = createHoldingQueue(2);
    const bad = submit("bad", 1);
    runner.failNext(createLostError());
    await runner.untilStarted(2);
    const good = submit("good", 1);
    runner.failNext(createLostError());
    await expect(bad.done).rejects.toMatchObject({ code: "sidecar_crashed" });
    await runner.untilStarted(3);
    runner.finishNext();
    await good.done;
    expect(seedsOf(good)).toEqual([0]);
    expect(queue.report()).toMatchObject({ poisonousImages: 1, failedJobs: 1, completedJobs: 1 });
  });
});

describe("a prompt that ends the sidecar", () => {
  test("is found beside twenty good requests, which all succeed, at the cost of two deaths", async () => {
    const { runner, queue, submit } = createHoldingQueue(8);
    const good = Array.from({ length: 10 }, (_, index) => submit(`good ${index}`, 1));
    const bad = submit("bad", 1);
    good.push(...Array.from({ length: 10 }, (_, index) => submit(`later ${index}`, 1)));
    let deathCount = 0;
    const work = async () => {
      while (queue.report().openJobs > 0) {
        if (runner.held.some(({ task }) => task.prompt === "bad")) {
          deathCount += 1;
          await runner.restart();
        } else {
          runner.finishNext();
        }
        await new Promise(setImmediate);
      }
    };
    await Promise.all([
      work(),
      expect(bad.done).rejects.toMatchObject({ code: "sidecar_crashed" }),
    ]);
    await Promise.all(good.map(({ done }) => done));
    expect(deathCount).toBe(2);
    expect(queue.report()).toMatchObject({ completedJobs: 20, failedJobs: 1, waitingImages: 0 });
  });

  test("is refused for a time, and ends the other requests that have it", async () => {
    const clock = { ms: 0 };
    const quarantine = new Quarantine(1_000, () => clock.ms);
    const { runner, queue, submit } = createHoldingQueue(2, { quarantine });
    const bad = submit("bad", 1);
    const alike = submit("bad", 1);
    for (const startedCount of [2, 3]) {
      await runner.untilStarted(startedCount);
      await runner.restart();
    }
    await expect(bad.done).rejects.toMatchObject({ code: "sidecar_crashed" });
    await expect(alike.done).rejects.toMatchObject({ code: "prompt_quarantined" });
    clock.ms = 600;
    expect(() => submit("bad", 1)).toThrow("refused for another 1 s");
    expect(queue.report()).toMatchObject({ quarantinedPrompts: 1, rejectedJobs: 1 });
    clock.ms = 1_000;
    expect(() => submit("bad", 1)).not.toThrow();
    expect(queue.report().quarantinedPrompts).toBe(0);
  });
});

describe("a job that fails", () => {
  test("cancels its other tasks and gives their seats to the next job", async () => {
    const { runner, queue, submit } = createHoldingQueue(2);
    const bad = submit("bad", 4);
    const good = submit("good", 2);
    const failure = new AppError("generation_failed", "The sidecar said no.");
    runner.failNext(failure);
    await expect(bad.done).rejects.toBe(failure);
    await runner.untilStarted(4);
    expect(runner.held.map(({ task }) => task.prompt)).toEqual(["good", "good"]);
    runner.finishNext();
    runner.finishNext();
    await good.done;
    expect(bad.images).toEqual([]);
    expect(queue.report()).toMatchObject({ failedJobs: 1, completedJobs: 1, openJobs: 0 });
  });

  test("reports an error without a code as a fault of the server, with its cause kept", async () => {
    const { runner, submit } = createHoldingQueue();
    const job = submit("a", 1);
    const cause = new Error("boom");
    runner.failNext(cause);
    await expect(job.done).rejects.toMatchObject({ code: "internal_error", cause });
  });

  test("ends once: what its tasks report later changes nothing", async () => {
    const { runner, queue, submit } = createHoldingQueue(3);
    const job = submit("a", 3);
    const [first, second, third] = [...runner.held];
    first?.reject(new AppError("generation_failed", "first"));
    second?.reject(new AppError("generation_failed", "second"));
    third?.reject(createLostError());
    await expect(job.done).rejects.toThrow("first");
    await new Promise(setImmediate);
    expect(queue.report()).toMatchObject({ failedJobs: 1, retriedImages: 0, openJobs: 0 });
    expect(runner.freeSeats()).toBe(3);
  });
});

describe("cancel and deadline", () => {
  test("a cancelled job frees its place, waiting and running", async () => {
    const { runner, queue, submit } = createHoldingQueue(1);
    const job = submit("a", 3);
    job.cancel();
    await expect(job.done).rejects.toMatchObject({ code: "cancelled" });
    expect(queue.report()).toMatchObject({ openJobs: 0, waitingImages: 0, cancelledJobs: 1 });
    expect(runner.held).toHaveLength(0);
  });

  test.each([
    ["runs", 1],
    ["waits", 0],
  ])("the deadline ends a job that %s", async (_name, seats) => {
    const { runner, queue, submit } = createHoldingQueue(seats);
    const job = submit("a", 2, { deadlineInMs: 5 });
    await expect(job.done).rejects.toMatchObject({
      code: "deadline_exceeded",
      message: containing("--request_timeout"),
    });
    expect(queue.report()).toMatchObject({ openJobs: 0, waitingImages: 0, runningImages: 0 });
    expect(runner.held).toHaveLength(0);
  });

  test("tells the runner how much of the deadline is left", async () => {
    const { runner, submit } = createTestQueue(new FakeRunner());
    await submit("a", 1).done;
    const left = runner.started[0]?.deadlineInMs ?? 0;
    expect(Number.isInteger(left)).toBe(true);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(LONG_MS);
  });
});

describe("draining", () => {
  test("an idle queue drains at once", async () => {
    const { queue } = createTestQueue(new FakeRunner());
    await expect(queue.drain(LONG_MS)).resolves.toBeUndefined();
  });

  test("waits for the jobs that are there", async () => {
    const { runner, queue, submit } = createHoldingQueue(1);
    const job = submit("a", 2);
    const drained = queue.drain(LONG_MS);
    await runner.finishInTurn(2);
    await drained;
    await job.done;
    expect(seedsOf(job)).toEqual([0, 1]);
  });

  test("fails what is not done in time", async () => {
    const { queue, submit } = createHoldingQueue();
    const job = submit("a", 1);
    await queue.drain(0);
    await expect(job.done).rejects.toMatchObject({ code: "shutting_down" });
  });
});
