import { describeError } from "../errors.js";
import type { EncodedImage, Encoder, ImageFormat } from "../images/encode.js";
import type { ImageStore } from "../images/store.js";
import { neutralizeText, type Logger } from "../log.js";
import type { SamplingSettings, TaskImage } from "../sidecar/task.js";
import { NO_OBSERVER, type Broker, type JobHandle, type JobSpec } from "./broker.js";
import type { SubmitOptions, WorkObserver } from "./broker.js";
import { DistinctJob } from "./distinct.js";
import { createSeeds } from "./seeds.js";

export interface GenerateRequest {
  readonly prompt: string;
  readonly imageCount: number;
  /**
   * Seed of the first image; image i has seed + i, modulo 2^32. Null leaves the seeds to the server,
   * which then also sees to it that the images differ.
   */
  readonly seed: number | null;
  readonly sampling: SamplingSettings;
  readonly format: ImageFormat;
  /** 1..100 for JPEG and WEBP; null is the default of the encoder. */
  readonly quality: number | null;
}

export interface GeneratedImage extends EncodedImage {
  readonly seed: number;
}

export interface Generated {
  readonly jobId: string;
  readonly images: readonly GeneratedImage[];
  /** Live tokens of the prompt, counted once however many images it has. */
  readonly textTokens: number;
  /**
   * Tokens of these images. What was drawn and given up for a different picture is not counted: the
   * caller asked for so many images, and equal requests shall show equal usage.
   */
  readonly imageTokens: number;
}

/** What the HTTP layer sees of everything below it. */
export interface Generator {
  /**
   * Makes the pictures of one request.
   *
   * @param signal - aborts when the caller has left.
   * @throws AppError with any code of the table that is answered over HTTP, or `cancelled`.
   */
  generate(request: GenerateRequest, signal: AbortSignal): Promise<Generated>;
}

export interface PictureGeneratorOptions {
  readonly broker: Broker;
  readonly encoder: Encoder;
  /** Null when saving to disk is off. */
  readonly store: ImageStore | null;
  readonly requestTimeoutMs: number;
  readonly log: Logger;
  readonly observer?: WorkObserver;
}

/** Turns requests into jobs, and finished tasks into encoded (and saved) images. */
export class PictureGenerator implements Generator {
  readonly #options: PictureGeneratorOptions;

  constructor(options: PictureGeneratorOptions) {
    this.#options = options;
  }

  async generate(request: GenerateRequest, signal: AbortSignal): Promise<Generated> {
    const { store, requestTimeoutMs, log } = this.#options;
    const { prompt, sampling } = request;
    const encodings: Promise<GeneratedImage>[] = [];
    const tokens = { text: 0, image: 0 };
    const onImage = (image: TaskImage, index: number) => {
      tokens.text = image.textTokens;
      tokens.image += image.imageTokens;
      encodings[index] = this.#encode(image, request);
    };
    const seeds = createSeeds(request.seed, request.imageCount);
    const spec = { prompt, seeds, sampling, deadlineInMs: requestTimeoutMs };
    // Images that are saved are still wanted when nobody waits for the answer any more.
    const job = this.#submit(request, spec, store === null ? { signal, onImage } : { onImage });
    await job.done;
    const images = await Promise.all(encodings);
    const shown = neutralizeText(prompt);
    log.info({ jobId: job.id }, `Created ${images.length} images from text prompt [${shown}]`);
    if (store !== null) await this.#save(store, request, images);
    return { jobId: job.id, images, textTokens: tokens.text, imageTokens: tokens.image };
  }

  /**
   * A seed of the caller is a promise: image i is what seed + i gives, equal to another or not. With
   * one candidate for each token no seed gives another picture.
   */
  #submit({ seed, sampling }: GenerateRequest, spec: JobSpec, options: SubmitOptions): JobHandle {
    const { broker, log, observer = NO_OBSERVER } = this.#options;
    const canDiffer = seed === null && spec.seeds.length > 1 && sampling.topK !== 1;
    if (!canDiffer) return broker.submit(spec, options);
    return new DistinctJob({ broker, log, observer }, spec, options);
  }

  async #encode(image: TaskImage, request: GenerateRequest): Promise<GeneratedImage> {
    const { format, quality } = request;
    return {
      ...(await this.#options.encoder.encode(image, { format, quality })),
      seed: image.seed,
    };
  }

  /** A full or read-only disk costs the copies on it, never the answer. */
  async #save(
    store: ImageStore,
    { prompt, format }: GenerateRequest,
    images: readonly GeneratedImage[],
  ): Promise<void> {
    try {
      await store.save({ prompt, format, images: images.map(({ bytes }) => bytes) });
    } catch (error) {
      this.#options.log.error(
        { err: error },
        `The images were answered but not saved: ${describeError(error)}`,
      );
    }
  }
}
