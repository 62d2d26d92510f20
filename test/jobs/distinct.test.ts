import { afterEach, describe, expect, test, vi } from "vitest";
import { AppError } from "../../src/errors.js";
import { NO_OBSERVER } from "../../src/jobs/broker.js";
import { DistinctJob } from "../../src/jobs/distinct.js";
import { JobQueue } from "../../src/jobs/queue.js";
import { createLogger } from "../../src/log.js";
import type { TaskImage } from "../../src/sidecar/task.js";
import { FakeRunner, paintInOrder } from "../support/fake-runner.js";

const DEFAULTS = { condScale: null, temperature: null, topK: null, topP: null };
const LONG_MS = 60_000;

interface Setup {
  /** Which picture each task gives, as {@link paintInOrder} takes them. */
  readonly pictures: readonly number[];
  readonly isHolding?: boolean;
}

function setUp({ pictures, isHolding = false }: Setup) {
  const runner = new FakeRunner({ isHolding, paint: paintInOrder(pictures) });
  const gate: { refusal: AppError | null } = { refusal: null };
  const queue = new JobQueue({
    runner,
    queueLimit: 500,
    deathLimit: 2,
    refusal: () => gate.refusal,
  });
  const images: TaskImage[] = [];
  const told: number[] = [];
  const submit = (imageCount: number, signal?: AbortSignal) => {
    const seeds = Array.from({ length: imageCount }, (_, index) => index);
    const spec = { prompt: "a", seeds, sampling: DEFAULTS, deadlineInMs: LONG_MS };
    const onImage = (image: TaskImage, index: number) => {
      told.push(index);
      images[index] = image;
    };
    const options = signal === undefined ? { onImage } : { signal, onImage };
    const log = createLogger("silent");
    return new DistinctJob({ broker: queue, log, observer: NO_OBSERVER }, spec, options);
  };
  return { runner, gate, queue, images, told, submit };
}

const countPictures = (images: readonly TaskImage[]) =>
  new Set(images.map(({ rgb }) => rgb.join())).size;
const seedsOf = (images: readonly TaskImage[]) => images.map(({ seed }) => seed);

/** Two held images of one picture, the second of which is about to be drawn again. */
async function holdRedraw(signal?: AbortSignal) {
  const parts = setUp({ pictures: [1, 1, 2], isHolding: true });
  const job = parts.submit(2, signal);
  parts.runner.finishNext();
  parts.runner.finishNext();
  await parts.runner.untilStarted(3);
  return { ...parts, job };
}

afterEach(() => {
  vi.useRealTimers();
});

describe("images that come out equal", () => {
  test("are drawn again until all differ, later only what is still equal", async () => {
    const { runner, images, submit } = setUp({ pictures: [1, 1, 1, 1, 2, 3] });
    await submit(3).done;
    expect(countPictures(images)).toBe(3);
    expect(runner.started).toHaveLength(6);
  });

  test("are told once for each place, with the seeds that made them", async () => {
    const { runner, images, told, submit } = setUp({ pictures: [1, 2, 1, 3], isHolding: true });
    const job = submit(3);
    for (let count = 0; count < 3; count += 1) runner.finishNext();
    await runner.untilStarted(4);
    runner.finishNext();
    await job.done;
    const [, , , fourth] = runner.started;
    expect(told.toSorted()).toEqual([0, 1, 2]);
    expect(seedsOf(images)).toEqual([0, 1, fourth?.seed]);
  });

  test("get seeds that the job has not used", async () => {
    const { runner, submit } = setUp({ pictures: [1] });
    await submit(5).done;
    expect(new Set(runner.started.map(({ seed }) => seed)).size).toBe(5 + 4);
  });

  test("stay as they are after eight rounds", async () => {
    const { runner, images, submit } = setUp({ pictures: [1, 2, 3, 4, 4] });
    await submit(5).done;
    expect(images).toHaveLength(5);
    expect(countPictures(images)).toBe(4);
    expect(runner.started).toHaveLength(5 + 8);
  });

  test("never cost more than as many images again as the job has, and eight", async () => {
    const { runner, images, submit } = setUp({ pictures: [1, 2] });
    await submit(10).done;
    expect(images).toHaveLength(10);
    expect(runner.started).toHaveLength(10 + 10 + 8);
  });

  test("are soon given up when there is one picture only", async () => {
    const { runner, images, submit } = setUp({ pictures: [1] });
    await submit(2).done;
    expect(images).toHaveLength(2);
    expect(runner.started).toHaveLength(2 + 4);
  });

  test("are not drawn again when all differ already", async () => {
    const { runner, images, submit } = setUp({ pictures: [1, 2, 3] });
    await submit(3).done;
    expect(seedsOf(images)).toEqual([0, 1, 2]);
    expect(runner.started).toHaveLength(3);
  });
});

describe("a redraw", () => {
  test("that is refused leaves the equal images", async () => {
    const { gate, runner, images, submit } = setUp({ pictures: [1], isHolding: true });
    const job = submit(2);
    gate.refusal = new AppError("queue_full", "The queue is full.");
    runner.finishNext();
    runner.finishNext();
    await job.done;
    expect(seedsOf(images)).toEqual([0, 1]);
  });

  test("that fails leaves the equal image", async () => {
    const { runner, images, job, queue } = await holdRedraw();
    runner.failNext(new AppError("generation_failed", "The image was not made."));
    await job.done;
    expect(seedsOf(images)).toEqual([0, 1]);
    expect(queue.report()).toMatchObject({ openJobs: 0, runningImages: 0 });
  });

  test("that fails half-way keeps what it has made", async () => {
    const { runner, images, submit } = setUp({ pictures: [1, 1, 1, 2], isHolding: true });
    const job = submit(3);
    for (let count = 0; count < 3; count += 1) runner.finishNext();
    await runner.untilStarted(5);
    runner.finishNext();
    await vi.waitFor(() => {
      expect(images[1]).toBeDefined();
    });
    runner.failNext(new AppError("generation_failed", "The image was not made."));
    await job.done;
    expect(countPictures(images)).toBe(2);
    expect(images).toHaveLength(3);
  });

  test("ends with the caller who leaves, and so does the job", async () => {
    const leaving = new AbortController();
    const { runner, job, queue } = await holdRedraw(leaving.signal);
    leaving.abort();
    await expect(job.done).rejects.toMatchObject({ code: "cancelled" });
    expect(runner.held).toEqual([]);
    expect(queue.report()).toMatchObject({ openJobs: 0, cancelledJobs: 1 });
  });

  test("has what is left of the job's time, and leaves the equal image at its end", async () => {
    vi.useFakeTimers();
    const { runner, images, submit } = setUp({ pictures: [1], isHolding: true });
    const job = submit(2);
    await vi.advanceTimersByTimeAsync(40_000);
    runner.finishNext();
    runner.finishNext();
    await runner.untilStarted(3);
    expect(runner.started[2]?.deadlineInMs).toBe(LONG_MS - 40_000);
    await vi.advanceTimersByTimeAsync(20_000);
    await job.done;
    expect(seedsOf(images)).toEqual([0, 1]);
  });
});

test("a job that fails before its images are there fails as any job", async () => {
  const { runner, images, submit } = setUp({ pictures: [1], isHolding: true });
  const job = submit(2);
  runner.failNext(new AppError("generation_failed", "The image was not made."));
  await expect(job.done).rejects.toMatchObject({ code: "generation_failed" });
  expect(images).toEqual([]);
});

test("a job that is refused throws at once", () => {
  const { gate, submit } = setUp({ pictures: [1] });
  gate.refusal = new AppError("queue_full", "The queue is full.");
  expect(() => submit(2)).toThrow("The queue is full.");
});
