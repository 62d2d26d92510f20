/** `POST /v1/images/generations` in the shapes of the OpenAI interface. */
import { z } from "zod";
import { AppError } from "../../errors.js";
import { IMAGE_FORMATS, type ImageFormat } from "../../images/encode.js";
import type { SamplingLimits } from "../../jobs/broker.js";
import type { ImageAnswer, ImageRequest, ImageService } from "../../jobs/image-service.js";
import { createSeeds } from "../../jobs/seeds.js";
import { parseJsonObject } from "../body.js";
import { abortOnDisconnect } from "../disconnect.js";
import {
  integerField,
  memoizeSchema,
  promptField,
  readFields,
  samplingFields,
  stringField,
  toSamplingSettings,
  wordField,
} from "../request-fields.js";
import { noteForLog } from "../request-log.js";
import type { Route } from "../route.js";
import type { ModelCatalogue } from "./models.js";

const MAX_IMAGES = 10;
/** As in the OpenAI interface; client programs label the bytes with it unread. */
const DEFAULT_FORMAT: ImageFormat = "png";

export interface OpenAiOptions {
  readonly imageService: Pick<ImageService, "generate">;
  readonly models: ModelCatalogue;
  /** Those of the loaded model; null before there is one. */
  readonly limits: () => SamplingLimits | null;
}

export function createOpenAiRoute({ imageService, models, limits }: OpenAiOptions): Route {
  return {
    method: "post",
    paths: ["/v1/images/generations", "/images/generations"],
    doc: "Makes images of a prompt, as the OpenAI images API does.",
    bodySchema: schemaFor,
    handle: async (request, response) => {
      const createdS = Math.floor(Date.now() / 1000);
      const fields = readFields(schemaFor(limits()), parseJsonObject(request));
      refuseUnsupported(fields);
      if (typeof fields.model === "string") models.find(fields.model);
      const imageRequest = toImageRequest(fields);
      const answer = await imageService.generate(imageRequest, abortOnDisconnect(response));
      noteForLog(response, { jobId: answer.jobId });
      response.json(formatAnswer(answer, imageRequest.output.format, createdS));
    },
  };
}

const sizeExpectation = `"auto" or a width and a height such as "256x256"`;

/** Null means absent everywhere. Settings that this kind of model lacks are read and not used. */
const schemaFor = memoizeSchema((limits) =>
  z.object({
    prompt: promptField(),
    model: stringField().nullish(),
    n: integerField(1, MAX_IMAGES).nullish(),
    size: z
      .string({ error: sizeExpectation })
      .regex(/^(auto|[1-9]\d{0,4}x[1-9]\d{0,4})$/, { error: sizeExpectation })
      .nullish(),
    quality: stringField().nullish(),
    style: stringField().nullish(),
    moderation: stringField().nullish(),
    user: stringField().nullish(),
    background: wordField(["auto", "opaque", "transparent"]).nullish(),
    response_format: wordField(["b64_json", "url"]).nullish(),
    output_format: wordField(IMAGE_FORMATS).nullish(),
    output_compression: integerField(0, 100).nullish(),
    stream: z.boolean({ error: "true or false" }).nullish(),
    partial_images: integerField(0, 3).nullish(),
    ...samplingFields(limits),
  }),
);

type Fields = z.output<ReturnType<typeof schemaFor>>;

/** What the interface allows and this server does not do. */
const UNSUPPORTED = [
  { param: "stream", value: true, supported: "false: the images come in one answer" },
  { param: "response_format", value: "url", supported: `"b64_json"` },
  { param: "background", value: "transparent", supported: `"auto" or "opaque"` },
] as const;

function refuseUnsupported(fields: Fields): void {
  for (const { param, value, supported } of UNSUPPORTED) {
    if (fields[param] !== value) continue;
    const message = `'${param}' cannot be ${JSON.stringify(value)} on this server; supported is ${supported}.`;
    throw new AppError("unsupported_value", message, { param });
  }
}

function toImageRequest(fields: Fields): ImageRequest {
  const compression = fields.output_compression ?? null;
  return {
    prompt: fields.prompt,
    seeds: createSeeds(fields.seed ?? null, fields.n ?? 1),
    sampling: toSamplingSettings(fields),
    output: {
      format: fields.output_format ?? DEFAULT_FORMAT,
      // 0 is allowed by the interface; the encoders start at 1.
      quality: compression === null ? null : Math.max(1, compression),
    },
  };
}

function formatAnswer(answer: ImageAnswer, format: ImageFormat, createdS: number) {
  const { images, textTokens, imageTokens } = answer;
  const [first] = images;
  return {
    created: createdS,
    data: images.map(({ bytes, seed }) => ({ b64_json: bytes.toString("base64"), seed })),
    background: "opaque",
    output_format: format,
    // The true size: the model has one, whatever was asked for.
    size: first === undefined ? null : `${first.width}x${first.height}`,
    usage: {
      input_tokens: textTokens,
      input_tokens_details: { text_tokens: textTokens, image_tokens: 0 },
      output_tokens: imageTokens,
      output_tokens_details: { text_tokens: 0, image_tokens: imageTokens },
      total_tokens: textTokens + imageTokens,
    },
  };
}
