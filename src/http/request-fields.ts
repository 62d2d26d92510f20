/** The request fields that routes share, each with the words for a wrong value. */
import { z } from "zod";
import { AppError } from "../errors.js";
import { neutralizeText } from "../log.js";
import type { SamplingLimits, SamplingSettings } from "../jobs/broker.js";
import type { JsonObject } from "./body.js";

const MAX_PROMPT_CHARACTERS = 4_000;
const MAX_SEED = 2 ** 32 - 1;

/** Builds one field. The text is what follows "must be" when the value is wrong. */
export function integerField(min: number, max: number): z.ZodNumber {
  const error = `an integer from ${min} to ${max}`;
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error });
}

export function wordField<const Word extends string>(words: readonly Word[]): z.ZodType<Word> {
  return z.enum(words, { error: `one of ${words.map((word) => `"${word}"`).join(", ")}` });
}

export function stringField(): z.ZodString {
  return z.string({ error: "a string" });
}

/** The prompt: some text that is not only spaces; a half of a surrogate pair becomes U+FFFD. */
export function promptField(): z.ZodType<string> {
  const error = `a string of 1 to ${MAX_PROMPT_CHARACTERS} characters that is not only spaces`;
  return z
    .string({ error })
    .refine((text) => /\S/u.test(text) && countCharacters(text) <= MAX_PROMPT_CHARACTERS, { error })
    .transform((text) => Buffer.from(text, "utf8").toString("utf8"));
}

/** What is let through while the limits of the model are not known; the sidecar checks again. */
const LOOSE_LIMITS: SamplingLimits = {
  condScale: [0, 100],
  temperature: [0, 100],
  topK: [0, 1_000_000],
  topP: [0, 1],
};

type OptionalNumber = z.ZodOptional<z.ZodNullable<z.ZodNumber>>;
type SamplingFields = Readonly<
  Record<
    "seed" | "cond_scale" | "guidance_scale" | "cfg_scale" | "temperature" | "top_k" | "top_p",
    OptionalNumber
  >
>;

/** The sampling fields of both surfaces; absent or null means the default of the checkpoint. */
export function samplingFields(limits: SamplingLimits): SamplingFields {
  return {
    seed: integerField(0, MAX_SEED).nullish(),
    cond_scale: numberField(limits.condScale).nullish(),
    // What other servers call the condition scale.
    guidance_scale: numberField(limits.condScale).nullish(),
    cfg_scale: numberField(limits.condScale).nullish(),
    temperature: numberField(limits.temperature).nullish(),
    top_k: integerField(...limits.topK).nullish(),
    top_p: numberField(limits.topP).nullish(),
  };
}

/**
 * Builds a schema once for the limits of each model: building one costs far more than a check with
 * it. Null stands for limits that are not known yet.
 */
export function memoizeSchema<Schema>(
  build: (limits: SamplingLimits) => Schema,
): (limits: SamplingLimits | null) => Schema {
  const schemas = new WeakMap<SamplingLimits, Schema>();
  return (ofModel) => {
    const limits = ofModel ?? LOOSE_LIMITS;
    const known = schemas.get(limits);
    if (known !== undefined) return known;
    const built = build(limits);
    schemas.set(limits, built);
    return built;
  };
}

type SamplingValues = z.output<z.ZodObject<SamplingFields>>;

export function toSamplingSettings(values: SamplingValues): SamplingSettings {
  return {
    condScale: values.cond_scale ?? values.guidance_scale ?? values.cfg_scale ?? null,
    temperature: values.temperature ?? null,
    topK: values.top_k ?? null,
    topP: values.top_p ?? null,
  };
}

/**
 * Checks a body against a schema of the fields above. Fields that the schema does not know pass.
 *
 * @throws AppError `invalid_value` that names the first wrong field, the expectation and the value.
 */
export function readFields<Schema extends z.ZodType>(
  schema: Schema,
  body: JsonObject,
): z.output<Schema> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const param = String(issue?.path[0] ?? "body");
  const expected = issue?.message ?? "valid";
  const value = body[param];
  const message =
    value === undefined
      ? `'${param}' is required and must be ${expected}.`
      : `'${param}' must be ${expected}; got ${describeValue(value)}.`;
  throw new AppError("invalid_value", message, { param });
}

function countCharacters(text: string): number {
  return Array.from(text).length;
}

function numberField([min, max]: readonly [number, number]) {
  const error = `a number from ${min} to ${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error });
}

/** Says what was sent without repeating much of it. */
function describeValue(value: unknown): string {
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  if (value.length > 40) return `a string of ${countCharacters(value)} characters`;
  return `"${neutralizeText(value)}"`;
}
