import { randomInt } from "node:crypto";
import { describeError } from "../errors.js";
import type { EncodedImage, Encoder, ImageFormat } from "../images/encode.js";
import type { ImageStore } from "../images/store.js";
import { neutralizeText, type Logger } from "../log.js";
import type { SamplingSettings, TaskImage } from "../sidecar/task.js";
import type { Broker } from "./broker.js";

const SEED_COUNT = 2 ** 32;

export interface GenerateRequest {
  readonly prompt: string;
  readonly imageCount: number;
  /** Seed of the first image; null draws one. Image i has seed + i, modulo 2^32. */
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
  readonly textTokens: number;
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
}

/** Turns requests into jobs, and finished tasks into encoded (and saved) images. */
export class PictureGenerator implements Generator {
  readonly #options: PictureGeneratorOptions;

  constructor(options: PictureGeneratorOptions) {
    this.#options = options;
  }

  async generate(request: GenerateRequest, signal: AbortSignal): Promise<Generated> {
    const { broker, store, requestTimeoutMs, log } = this.#options;
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
    const job = broker.submit(spec, store === null ? { signal, onImage } : { onImage });
    await job.done;
    const images = await Promise.all(encodings);
    const shown = neutralizeText(prompt);
    log.info({ jobId: job.id }, `Created ${images.length} images from text prompt [${shown}]`);
    if (store !== null) await this.#save(store, request, images);
    return { jobId: job.id, images, textTokens: tokens.text, imageTokens: tokens.image };
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

/** The seeds of a request's images: `base`, `base + 1`, ..., wrapping at 2^32. */
export function createSeeds(base: number | null, imageCount: number): number[] {
  const first = base ?? randomInt(SEED_COUNT);
  return Array.from({ length: imageCount }, (_, index) => (first + index) % SEED_COUNT);
}
