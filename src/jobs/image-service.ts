import { AppError, describeError } from "../errors.js";
import type { ImageStore } from "../images/store.js";
import { neutralizeText, type Logger } from "../log.js";
import type { Broker, JobHandle, JobSpec } from "./broker.js";
import type { JobEvent, JobImage } from "./events.js";

/** A job but for its deadline, which the server sets. */
export type ImageRequest = Omit<JobSpec, "deadlineInMs">;

export interface ImageAnswer {
  readonly jobId: string;
  /** In the order of the seeds of the request. */
  readonly images: readonly JobImage[];
  /** Live tokens of the prompt, counted once however many images it has. */
  readonly textTokens: number;
  readonly imageTokens: number;
}

interface ImageServiceOptions {
  readonly broker: Broker;
  /** Null when saving to disk is off. */
  readonly store: ImageStore | null;
  readonly requestTimeoutMs: number;
  readonly log: Logger;
}

/** Answers a request with all of its images at once, and saves them. */
export class ImageService {
  readonly #options: ImageServiceOptions;

  constructor(options: ImageServiceOptions) {
    this.#options = options;
  }

  /**
   * Makes the images of one request.
   *
   * @param signal - aborts when the caller has left.
   * @throws AppError with any code that is answered over HTTP, or `cancelled`.
   */
  async generate(request: ImageRequest, signal: AbortSignal): Promise<ImageAnswer> {
    const { store, log } = this.#options;
    const { id, images } = await this.#waitForImages(request, signal);
    const shown = neutralizeText(request.prompt);
    log.info({ jobId: id }, `Created ${images.length} images from text prompt [${shown}]`);
    if (store !== null) await this.#save(store, request, images);
    const imageTokens = images.reduce((sum, image) => sum + image.imageTokens, 0);
    return { jobId: id, images, textTokens: images[0]?.textTokens ?? 0, imageTokens };
  }

  #waitForImages(
    request: ImageRequest,
    signal: AbortSignal,
  ): Promise<{ id: string; images: readonly JobImage[] }> {
    const { broker, store, requestTimeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      if (signal.aborted) throw new AppError("cancelled", "The caller went away.");
      const images: JobImage[] = [];
      const onEvent = (event: JobEvent) => {
        if (event.type === "image") images[event.index] = event.image;
        else if (event.type === "completed") resolve({ id: job.id, images });
        else if (event.type === "failed") reject(event.error);
      };
      const spec = { ...request, deadlineInMs: requestTimeoutMs };
      const job: JobHandle = broker.submit(spec, onEvent);
      // Images that are saved are still wanted after the caller has left.
      if (store !== null) return;
      signal.addEventListener("abort", () => {
        job.cancel();
      });
    });
  }

  /** A full or read-only disk costs the copies on it, never the answer. */
  async #save(
    store: ImageStore,
    { prompt, output }: ImageRequest,
    images: readonly JobImage[],
  ): Promise<void> {
    try {
      const bytes = images.map((image) => image.bytes);
      await store.save({ prompt, format: output.format, images: bytes });
    } catch (error) {
      const message = `The images were answered but not saved: ${describeError(error)}`;
      this.#options.log.error({ err: error }, message);
    }
  }
}
