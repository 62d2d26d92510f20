import { Router, type Request, type RequestHandler } from "express";
import { z } from "zod";
import type { ImageFormat } from "../../images/encode.js";
import type { ImageAnswer, ImageService } from "../../jobs/image-service.js";
import { createSeeds } from "../../jobs/seeds.js";
import { parseJsonObject, readBody } from "../body.js";
import { abortOnDisconnect } from "../disconnect.js";
import { refuseMethods } from "../errors.js";
import {
  integerField,
  memoizeSchema,
  promptField,
  readFields,
  samplingFields,
  toSamplingSettings,
  type SamplingLimits,
} from "../request-fields.js";

const MAX_IMAGES = 100;

export interface DalleOptions {
  readonly imageService: ImageService;
  readonly format: ImageFormat;
  readonly limits: () => SamplingLimits;
}

/** `POST /dalle`: the original interface of this kind of server. */
export function createDalleRouter(options: DalleOptions): Router {
  const router = Router();
  router
    .route("/dalle")
    .post(readBody, createHandler(options))
    .all(refuseMethods(["POST"]));
  return router;
}

function createHandler({ imageService, format, limits }: DalleOptions): RequestHandler {
  return async (request, response) => {
    const fields = readFields(schemaFor(limits()), parseJsonObject(request));
    const generated = await imageService.generate(
      {
        prompt: fields.text,
        seeds: createSeeds(fields.seed ?? null, fields.num_images ?? 1),
        sampling: toSamplingSettings(fields),
        output: { format, quality: null },
      },
      abortOnDisconnect(response),
    );
    response.json(formatAnswer(generated, format, isPlaygroundPage(request)));
  };
}

const schemaFor = memoizeSchema((limits) =>
  z.object({
    text: promptField(),
    num_images: integerField(1, MAX_IMAGES).nullish(),
    ...samplingFields(limits),
  }),
);

/**
 * The original page reads `generatedImgs` and puts the format in a data URL, in lower case; everybody
 * else gets the documented names only.
 */
function formatAnswer({ images }: ImageAnswer, format: ImageFormat, isPlayground: boolean) {
  const generatedImages = images.map(({ bytes }) => bytes.toString("base64"));
  const seeds = images.map(({ seed }) => seed);
  return isPlayground
    ? { generatedImages, generatedImgs: generatedImages, generatedImgsFormat: format, seeds }
    : { generatedImages, generatedImgsFormat: format.toUpperCase(), seeds };
}

function isPlaygroundPage(request: Request): boolean {
  return (
    request.headers["bypass-tunnel-reminder"] !== undefined ||
    request.query["compat"] === "playground"
  );
}
