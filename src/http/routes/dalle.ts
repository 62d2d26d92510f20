/** `POST /dalle`: the original interface of this kind of server, also for its playground page. */
import type { Request } from "express";
import { z } from "zod";
import type { ImageFormat } from "../../images/encode.js";
import type { SamplingLimits } from "../../jobs/broker.js";
import type { ImageAnswer, ImageService } from "../../jobs/image-service.js";
import { createSeeds } from "../../jobs/seeds.js";
import { parseJsonObject } from "../body.js";
import { abortOnDisconnect } from "../disconnect.js";
import {
  integerField,
  memoizeSchema,
  promptField,
  readFields,
  samplingFields,
  toSamplingSettings,
} from "../request-fields.js";
import { noteForLog } from "../request-log.js";
import type { Route } from "../route.js";

const MAX_IMAGES = 100;

export interface DalleOptions {
  readonly imageService: Pick<ImageService, "generate">;
  readonly format: ImageFormat;
  /** Those of the loaded model; null before there is one. */
  readonly limits: () => SamplingLimits | null;
}

export function createDalleRoute({ imageService, format, limits }: DalleOptions): Route {
  return {
    method: "post",
    paths: ["/dalle"],
    doc: "Makes images of a text, in the format that the server is set to.",
    bodySchema: schemaFor,
    handle: async (request, response) => {
      const fields = readFields(schemaFor(limits()), parseJsonObject(request));
      const answer = await imageService.generate(
        {
          prompt: fields.text,
          seeds: createSeeds(fields.seed ?? null, fields.num_images ?? 1),
          sampling: toSamplingSettings(fields),
          output: { format, quality: null },
        },
        abortOnDisconnect(response),
      );
      noteForLog(response, { jobId: answer.jobId });
      response.json(formatAnswer(answer, format, isPlaygroundPage(request)));
    },
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
 * The original page reads `generatedImgs` and puts the format in a data URL, in lower case; all others
 * get the documented names only.
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
