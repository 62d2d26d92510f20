/** The kinds of settings: each takes a text (of a flag or a variable) and checks it. */
import { z } from "zod";
import { isHubAddress, isValidHubAddress } from "../checkpoint/hub-address.js";

export interface FlagDocs {
  /** What follows the flag in `--help`. */
  readonly placeholder: string;
  readonly about: string;
  /** The text used when the setting is not given. */
  readonly default: string | null;
  /** How `--help` words the default when `default` is null. */
  readonly defaultText?: string;
  /** A flag of this kind may stand alone and then means `true`. */
  readonly isSwitch?: boolean;
  /** Its heading in `--help all`; see {@link groupFlags}. */
  readonly group?: string;
}

/** Takes a text and gives a checked value. */
type Kind<Value> = z.ZodType<Value, string>;

/** What `--help` and the reader know about the schema of each setting. */
export const flagDocs = z.registry<FlagDocs>();

/** Puts settings under a heading of `--help all`. */
export function groupFlags<Shape extends Readonly<Record<string, z.ZodType>>>(
  group: string,
  shape: Shape,
): Shape {
  for (const schema of Object.values(shape)) {
    const docs = flagDocs.get(schema);
    if (docs !== undefined) flagDocs.add(schema, { ...docs, group });
  }
  return shape;
}

const SWITCH_WORDS: ReadonlyMap<string, boolean> = new Map([
  ...["true", "yes", "y", "1", "t"].map((word) => [word, true] as const),
  ...["false", "no", "n", "0", "f"].map((word) => [word, false] as const),
]);

/** A setting in seconds, of which a thousandth is the smallest part. */
export function secondsFlag(
  [min, max]: readonly [number, number],
  fallback: string,
  about: string,
): Kind<number> {
  const docs = { placeholder: "SECONDS", about, default: fallback };
  const kind = numberText(/^\d{1,9}(?:\.\d{1,3})?$/, min, max, "a number of seconds");
  return kind.register(flagDocs, docs);
}

/** A setting that counts something. */
export function countFlag(
  range: readonly [number, number],
  fallback: string,
  about: string,
): Kind<number> {
  const docs = { placeholder: "COUNT", about, default: fallback };
  return integerText(...range).register(flagDocs, docs);
}

/** A whole number. */
export function integerText(min: number, max: number): Kind<number> {
  return numberText(/^[+-]?\d{1,9}$/, min, max, "an integer");
}

function numberText(pattern: RegExp, min: number, max: number, what: string): Kind<number> {
  const error = `${what} from ${min} to ${max}`;
  return z
    .string()
    .refine((text) => pattern.test(text.trim()), { error, abort: true })
    .transform(Number)
    .pipe(z.number().min(min, { error }).max(max, { error }));
}

/** One of some words, in any case; `shown` is how a message lists them. */
export function wordText<const Word extends string>(
  words: readonly Word[],
  shown: string = words.join(", "),
): Kind<Word> {
  const values = new Map(words.map((word) => [word.toLowerCase(), word]));
  return lookUpText(values, `one of ${shown}`);
}

/** Yes or no, in many words. */
export function switchText(): Kind<boolean> {
  return lookUpText(SWITCH_WORDS, "true, yes, y, 1, t or false, no, n, 0, f");
}

function lookUpText<Value>(values: ReadonlyMap<string, Value>, message: string): Kind<Value> {
  return z.string().transform((text, context): Value => {
    const found = values.get(text.trim().toLowerCase());
    if (found !== undefined) return found;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  });
}

/** A folder or an address of the hub. */
export function placeText(): Kind<string> {
  return z
    .string()
    .min(1)
    .refine((text) => !isHubAddress(text) || isValidHubAddress(text), {
      error: "a folder, hf:owner/name or hf:owner/name@revision",
    });
}
