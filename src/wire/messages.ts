/**
 * The messages of the wire protocol and the records in them, as zod schemas.
 *
 * The twin of sidecar/wire/messages.py, in the same order; each check carries its expectation as a
 * phrase, the same as in sidecar/wire/fields.py.
 */
import { z } from "zod";

export const MAX_IMAGE_SIDE = 4096;
export const CHANNELS = 3;

const text = z
  .string("a string of well-formed Unicode")
  .regex(/^\P{Surrogate}*$/u, "a string of well-formed Unicode");
const identifier = matching(/^[\x21-\x7e]{1,128}$/, "1 to 128 printable ASCII characters");
const digest = matching(/^[0-9a-f]{64}$/, "64 lower-case hexadecimal digits");
const boolean = z.boolean("true or false");
const number = z.number("a finite number");
const amount = z.number("a finite number of at least 0").min(0, "a finite number of at least 0");
const count = integer(0);
const size = integer(1);
const imageSide = integer(1, MAX_IMAGE_SIDE);
const seed = integer(0, 2 ** 32 - 1);
const tokenCount = z.tuple([identifier, count], "[taskId, tokenCount]");

// The messages, in the order of sidecar/wire/messages.py.
/** All the settings of a sidecar; only those of the Hugging Face tools it reads elsewhere. */
const sidecarConfig = record({
  modelVersion: text,
  checkpoint: text,
  vqgan: text.nullable(),
  slots: size,
  chunkTokens: size,
  precision: oneOf("auto", "float32", "bfloat16"),
  cacheDir: text.nullable(),
  beatIntervalMs: size,
});

const samplingDefaults = record({
  condScale: number,
  temperature: number,
  topK: count,
  topP: number,
});

const samplingLimits = record({
  condScale: rangeOf(number),
  temperature: rangeOf(number),
  topK: rangeOf(count),
  topP: rangeOf(number),
});

const sampling = record({ defaults: samplingDefaults, limits: samplingLimits });

const hello = message("HELLO", { build: text, pid: size, generation: size, token: text });

const welcome = message("WELCOME", { config: sidecarConfig });

const phase = message("PHASE", {
  name: oneOf("download", "load", "compile", "warm_up"),
  done: amount,
  total: amount,
  unit: text,
});

const ready = message("READY", {
  slots: size,
  imageWidth: imageSide,
  imageHeight: imageSide,
  imageTokens: size,
  textTokens: size,
  device: text,
  memoryBytes: count.nullable(),
  precision: oneOf("float32", "bfloat16"),
  checkpointHash: digest,
  phaseSeconds: z.record(z.string(), amount, "an object"),
  sampling,
});

const generate = message("GENERATE", {
  taskId: identifier,
  attempt: size,
  prompt: text,
  seed,
  condScale: number.nullable(),
  temperature: number.nullable(),
  topK: count.nullable(),
  topP: number.nullable(),
  previewEvery: count,
  deadlineInMs: count,
});

const accepted = message("ACCEPTED", { taskId: identifier, attempt: size });

const rejected = message("REJECTED", {
  taskId: identifier,
  attempt: size,
  code: identifier,
  message: text,
});

const progress = message("PROGRESS", {
  tasks: z.array(tokenCount, "an array of [taskId, tokenCount]"),
});

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

const failed = message("FAILED", {
  taskId: identifier.nullable(),
  attempt: size.nullable(),
  code: identifier,
  message: text,
  retryable: boolean,
  fatal: boolean,
});

const cancel = message("CANCEL", { taskId: identifier });

const ping = message("PING", { sequence: count });

const beat = message("BEAT", {
  sequence: count,
  computeCount: count,
  phase: oneOf("starting", "download", "load", "compile", "warm_up", "idle", "generate", "drain"),
  stepAgeMs: count,
  rssBytes: count,
  deviceBytes: count.nullable(),
});

const drain = message("DRAIN", {});

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
/** All the settings of a sidecar; only those of the Hugging Face tools it reads elsewhere. */
export type SidecarConfig = z.infer<typeof sidecarConfig>;
export type Phase = z.infer<typeof phase>;
export type Hello = z.infer<typeof hello>;
export type Ready = z.infer<typeof ready>;
export type Accepted = z.infer<typeof accepted>;
export type Rejected = z.infer<typeof rejected>;
export type Progress = z.infer<typeof progress>;
export type Image = z.infer<typeof image>;
export type Failed = z.infer<typeof failed>;
export type Beat = z.infer<typeof beat>;
/** From the sidecar to the server. */
export type UpMessage = z.infer<typeof upMessage>;
/** From the server to the sidecar. */
export type DownMessage = z.infer<typeof downMessage>;

function message<T extends string, S extends z.ZodRawShape>(type: T, shape: S) {
  return z.object({ type: z.literal(type), ...shape });
}

function record<S extends z.ZodRawShape>(shape: S) {
  return z.object(shape, "an object");
}

function matching(pattern: RegExp, expectation: string) {
  return z.string(expectation).regex(pattern, expectation);
}

function integer(low: number, high: number = Number.MAX_SAFE_INTEGER) {
  const expectation = `an integer from ${low} to ${high}`;
  return z.int(expectation).min(low, expectation).max(high, expectation);
}

function oneOf<const T extends string[]>(...words: T) {
  return z.enum(words, `one of ${words.join(", ")}`);
}

function rangeOf<T extends z.ZodType>(value: T) {
  return z.tuple([value, value], "a pair [lowest, highest]");
}
