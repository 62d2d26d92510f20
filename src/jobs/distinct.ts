import { createHash } from "node:crypto";
import { describeError } from "../errors.js";
import type { Logger } from "../log.js";
import type { TaskImage } from "../sidecar/task.js";
import type { Broker, JobHandle, JobSpec, SubmitOptions, WorkObserver } from "./broker.js";
import { createSeeds } from "./seeds.js";

const MAX_ROUNDS = 8;
/** How many more images may be drawn again than the job has. */
const SPARE_IMAGES = 8;
/** So many redraws that only show the one known picture mean that the settings leave no other. */
const HOPELESS_REDRAWS = 4;

/** What a job of this kind works with. */
export interface DistinctTools {
  readonly broker: Broker;
  readonly log: Logger;
  readonly observer: WorkObserver;
}

/**
 * A job whose images should all differ: one that has the very pixels of another is drawn again with
 * a fresh seed. A small checkpoint repeats itself even when the seeds differ.
 *
 * To the outside it is a job like any other: `onImage` is called once for each image, with the
 * picture that stays and the seed that made it. What is drawn again is bounded: by rounds, of which
 * the later only draw what is still equal; by the number of images; by the job's deadline. It never
 * fails the job: images that are equal after that, or whose redraw is refused or fails, stay as they
 * are. Only the caller who leaves ends everything. In the counts of the queue each round is a job of
 * its own.
 */
export class DistinctJob implements JobHandle {
  readonly id: string;
  readonly done: Promise<void>;
  readonly #broker: Broker;
  readonly #spec: JobSpec;
  readonly #options: SubmitOptions;
  readonly #log: Logger;
  readonly #observer: WorkObserver;
  readonly #endsAtMs: number;
  /** Digests of the pictures that have been handed out. */
  readonly #known = new Set<string>();
  /** Images that look like one of those, by their place in the job. */
  readonly #equal = new Map<number, TaskImage>();

  /** Submits the job; throws what `Broker.submit` throws. */
  constructor({ broker, log, observer }: DistinctTools, spec: JobSpec, options: SubmitOptions) {
    this.#broker = broker;
    this.#spec = spec;
    this.#options = options;
    this.#observer = observer;
    this.#endsAtMs = performance.now() + spec.deadlineInMs;
    const job = this.#submit(spec, (index) => index);
    this.id = job.id;
    this.#log = log.child({ jobId: job.id });
    this.done = this.#finish(job);
  }

  async #finish(job: JobHandle): Promise<void> {
    await job.done;
    const limit = this.#spec.seeds.length + SPARE_IMAGES;
    let redrawnCount = 0;
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const isHopeless = this.#known.size === 1 && redrawnCount >= HOPELESS_REDRAWS;
      const places = [...this.#equal.keys()].slice(0, limit - redrawnCount);
      if (isHopeless || places.length === 0 || !(await this.#redraw(places))) break;
      redrawnCount += places.length;
    }
    for (const [index, image] of this.#equal) this.#options.onImage(image, index);
  }

  /** Draws the images at some places again; false when that was not possible. */
  async #redraw(places: readonly number[]): Promise<boolean> {
    const deadlineInMs = Math.floor(this.#endsAtMs - performance.now());
    if (deadlineInMs < 1) return false;
    const seeds = createSeeds(null, places.length);
    this.#log.info({ seeds }, `Drawing ${places.length} images again that are equal to others`);
    try {
      const spec = { ...this.#spec, seeds, deadlineInMs };
      const job = this.#submit(spec, (index) => places[index] ?? index);
      this.#observer.observeRedraws(places.length);
      await job.done;
      return true;
    } catch (error) {
      if (this.#options.signal?.aborted === true) throw error;
      this.#log.warn(`Equal images are answered as they are: ${describeError(error)}`);
      return false;
    }
  }

  #submit(spec: JobSpec, placeOf: (index: number) => number): JobHandle {
    const onImage = (image: TaskImage, index: number) => {
      this.#take(image, placeOf(index));
    };
    return this.#broker.submit(spec, { ...this.#options, onImage });
  }

  #take(image: TaskImage, place: number): void {
    const digest = createHash("sha256").update(image.rgb).digest("base64");
    if (this.#known.has(digest)) {
      this.#equal.set(place, image);
      return;
    }
    this.#known.add(digest);
    this.#equal.delete(place);
    this.#options.onImage(image, place);
  }
}
