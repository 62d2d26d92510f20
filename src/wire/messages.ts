/**
 * The messages of the wire protocol and the records in them, each field with its check.
 *
 * The twin of sidecar/wire/messages.py, in the same order. Here a message is a zod schema and the
 * type that is inferred from it.
 */
import { z } from "zod";
import {
  amount,
  amounts,
  boolean,
  digest,
  identifier,
  integer,
  number,
  oneOf,
  rangeOf,
  record,
  text,
  tokenCounts,
} from "./fields.js";

export const MAX_IMAGE_SIDE = 4096;
export const CHANNELS = 3;

const count = integer(0);
const size = integer(1);
const imageSide = integer(1, MAX_IMAGE_SIDE);
const seed = integer(0, 2 ** 32 - 1);

/**
 * All the settings of a sidecar; only those of the Hugging Face tools (HF_HOME, HF_ENDPOINT,
 * HF_TOKEN, HF_HUB_OFFLINE, proxies) it reads from its environment.
 *
 * `checkpoint` and `vqgan` are folders or `hf:owner/name[@revision]`, which is fetched first
 * (`vqgan` null: look in the checkpoint and beside it), `slots` the images decoded together,
 * `chunkTokens` the image tokens between two looks at the outside world, `cacheDir` JAX's persistent
 * compile cache (null: none is kept), `beatIntervalMs` the time between two unasked beats.
 */
const sidecarConfig = record({
  checkpoint: text,
  vqgan: text.nullable(),
  slots: size,
  chunkTokens: size,
  precision: oneOf("auto", "float32", "bfloat16"),
  cacheDir: text.nullable(),
  beatIntervalMs: size,
});

/** What the sampler is asked for; null is the checkpoint's own value, `topK` 0 is off. */
const samplingSettings = record({
  condScale: number.nullable(),
  temperature: number.nullable(),
  topK: count.nullable(),
  topP: number.nullable(),
});

/** The lowest and highest value of each sampling setting, both allowed. */
const samplingLimits = record({
  condScale: rangeOf(number),
  temperature: rangeOf(number),
  topK: rangeOf(count),
  topP: rangeOf(number),
});

/** What a task may ask of the sampler, and the checkpoint's own values. */
const sampling = record({ defaults: samplingSettings, limits: samplingLimits });

/** First message of a sidecar: who it is. `token` proves that the server started it. */
const hello = message("HELLO", { build: text, pid: size, generation: size, token: text });

/** The answer to HELLO: the whole configuration. */
const welcome = message("WELCOME", { config: sidecarConfig });

/** Progress of getting ready: `done` of `total` in `unit`. */
const phase = message("PHASE", {
  name: oneOf("download", "load", "compile", "warm_up"),
  done: amount,
  total: amount,
  unit: text,
});

/** The sidecar takes tasks from now on; what it can do. */
const ready = message("READY", {
  slots: size,
  imageWidth: imageSide,
  imageHeight: imageSide,
  imageTokens: size,
  device: text,
  memoryBytes: count.nullable(),
  precision: oneOf("float32", "bfloat16"),
  checkpointHash: digest,
  phaseSeconds: amounts,
  sampling,
});

/** Make one image; `previewEvery` counts the tokens between two previews, 0 for none. */
const generate = message("GENERATE", {
  taskId: identifier,
  attempt: size,
  prompt: text,
  seed,
  sampling: samplingSettings,
  previewEvery: count,
  deadlineInMs: count,
});

/** The task has arrived and will be answered by exactly one IMAGE or FAILED. */
const accepted = message("ACCEPTED", { taskId: identifier, attempt: size });

/** The task was not taken; nothing else will be said about it. */
const rejected = message("REJECTED", {
  taskId: identifier,
  attempt: size,
  code: identifier,
  message: text,
});

/** Once a chunk: the image tokens made so far, for all running tasks. */
const progress = message("PROGRESS", { tasks: tokenCounts });

/** A finished image: `payload` is RGB, u8, row by row; `textTokens` counts the live ones. */
const image = message("IMAGE", {
  taskId: identifier,
  attempt: size,
  width: imageSide,
  height: imageSide,
  seed,
  textTokens: count,
  imageTokens: count,
  seconds: amount,
  payload: z.instanceof(Uint8Array),
}).refine(({ payload, width, height }) => payload.length === width * height * CHANNELS, {
  path: ["payload"],
  error: `width * height * ${CHANNELS} bytes`,
});

/** A task failed, or (`taskId` null) the whole sidecar. `fatal`: the process is about to exit. */
const failed = message("FAILED", {
  taskId: identifier.nullable(),
  attempt: size.nullable(),
  code: identifier,
  message: text,
  retryable: boolean,
  fatal: boolean,
});

/** The task is not wanted any more. May be sent twice, and for a task that has ended. */
const cancel = message("CANCEL", { taskId: identifier });

/** Asks for a BEAT with the same sequence. */
const ping = message("PING", { sequence: count });

/** A sign of life: of the I/O thread by itself, of the compute thread by the age of its last step. */
const beat = message("BEAT", {
  sequence: count,
  phase: oneOf("starting", "download", "load", "compile", "warm_up", "idle", "generate", "drain"),
  stepAgeMs: count,
  rssBytes: count,
});

/** Finish what runs, take nothing new, say BYE and exit. */
const drain = message("DRAIN", {});

/** Last message of a sidecar that ends on purpose. */
const bye = message("BYE", { reason: text });

/** From the sidecar to the server. */
export const upMessage = z.discriminatedUnion("type", [
  hello,
  phase,
  ready,
  accepted,
  rejected,
  progress,
  image,
  failed,
  beat,
  bye,
]);

/** From the server to the sidecar. */
export const downMessage = z.discriminatedUnion("type", [welcome, generate, cancel, ping, drain]);

export type SidecarConfig = z.infer<typeof sidecarConfig>;
export type SamplingSettings = Readonly<z.infer<typeof samplingSettings>>;
export type SamplingLimits = Readonly<z.infer<typeof samplingLimits>>;
export type Hello = z.infer<typeof hello>;
export type Phase = z.infer<typeof phase>;
export type Ready = z.infer<typeof ready>;
export type Accepted = z.infer<typeof accepted>;
export type Rejected = z.infer<typeof rejected>;
export type Progress = z.infer<typeof progress>;
export type Image = z.infer<typeof image>;
export type Failed = z.infer<typeof failed>;
export type Beat = z.infer<typeof beat>;
export type UpMessage = z.infer<typeof upMessage>;
export type DownMessage = z.infer<typeof downMessage>;

function message<Type extends string, Shape extends z.ZodRawShape>(type: Type, shape: Shape) {
  return z.object({ type: z.literal(type), ...shape });
}
