/** A job queue over a runner of the test, and jobs that keep what they were told. */
import { EventEmitter, once } from "node:events";
import type { Encoder } from "../../src/images/encode.js";
import { Admission } from "../../src/jobs/admission.js";
import type { JobHandle, JobSpec } from "../../src/jobs/broker.js";
import type { JobEvent, JobImage } from "../../src/jobs/events.js";
import { Quarantine } from "../../src/jobs/quarantine.js";
import { JobQueue, type JobQueueOptions } from "../../src/jobs/queue.js";
import type { TaskRunner } from "../../src/sidecar/task.js";
import { DEFAULT_SERVICE } from "./defaults.js";
import { FakeRunner } from "./fake-runner.js";
import { FakeSidecar } from "./fake-sidecar-view.js";

export const DEFAULT_SAMPLING = { condScale: null, temperature: null, topK: null, topP: null };
export const LONG_MS = 60_000;

export interface SubmittedJob extends JobHandle {
  readonly events: JobEvent[];
  /** By their place in the job. */
  readonly images: JobImage[];
  /** Resolves when the job is completed, rejects with the error it failed with. */
  readonly done: Promise<void>;
}

export interface TestQueue<Runner extends TaskRunner = TaskRunner> {
  readonly runner: Runner;
  readonly queue: JobQueue;
  readonly sidecar: FakeSidecar;
  readonly admission: Admission;
  readonly submit: (prompt: string, imageCount: number, options?: SubmitOptions) => SubmittedJob;
}

interface SubmitOptions {
  readonly deadlineInMs?: number;
  readonly firstSeed?: number;
}

/** Keeps the pixels as they are: what encoders do is tested elsewhere. */
const PLAIN_ENCODER: Encoder = {
  encode: ({ rgb, width, height }) =>
    Promise.resolve({ bytes: Buffer.from(rgb), width, height, pixelDigest: "0".repeat(64) }),
};

/** A queue as the server has it, but for `changes`; the sidecars are ready. */
export function createTestQueue<Runner extends TaskRunner>(
  runner: Runner,
  changes: Partial<JobQueueOptions> = {},
): TestQueue<Runner> {
  const sidecar = new FakeSidecar("ready");
  const admission = new Admission(sidecar, LONG_MS);
  const queue = new JobQueue({
    runner,
    admission,
    encoder: PLAIN_ENCODER,
    quarantine: new Quarantine(DEFAULT_SERVICE.quarantineMs),
    queueLimit: DEFAULT_SERVICE.queueLimit,
    deathLimit: DEFAULT_SERVICE.deathLimit,
    unsavedCount: () => 0,
    ...changes,
  });
  const submit = (prompt: string, imageCount: number, options: SubmitOptions = {}) => {
    const { deadlineInMs = LONG_MS, firstSeed = 0 } = options;
    const seeds = Array.from({ length: imageCount }, (_, index) => firstSeed + index);
    const output = { format: "png", quality: null } as const;
    return submitJob(queue, { prompt, seeds, sampling: DEFAULT_SAMPLING, output, deadlineInMs });
  };
  return { runner, queue, sidecar, admission, submit };
}

/** The same over a runner whose tasks the test finishes, fails or loses by hand. */
export function createHoldingQueue(
  seats = 4,
  changes: Partial<JobQueueOptions> = {},
): TestQueue<FakeRunner> {
  return createTestQueue(new FakeRunner({ seats, isHolding: true }), changes);
}

function submitJob(queue: JobQueue, spec: JobSpec): SubmittedJob {
  const events: JobEvent[] = [];
  const images: JobImage[] = [];
  const end = new EventEmitter();
  const done = once(end, "completed").then(() => undefined);
  // A test may look at it later than it fails.
  done.catch(() => undefined);
  const job = queue.submit(spec, (event) => {
    events.push(event);
    if (event.type === "image") images[event.index] = event.image;
    else if (event.type === "completed") end.emit("completed");
    else if (event.type === "failed") end.emit("error", event.error);
  });
  return Object.assign(job, { events, images, done });
}
