/** The kinds of settings: each takes a text (of a flag or a variable) and checks it. */
import { z } from "zod";
import { isHubAddress, isValidHubAddress } from "../checkpoint/hub-address.js";

export interface FlagDocs {
  /** What follows the flag in `--help`. */
  readonly placeholder: string;
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

/**
 * What `--help` and the reader know about the schema of each setting beside its description, which is
 * that of zod; the schema that `describe` makes has the entry of the one before.
 */
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

/** A setting; `fallback` is the text used when it is not given. */
export function flag<Value>(kind: Kind<Value>, placeholder: string, fallback: string): Kind<Value> {
  return kind.register(flagDocs, { placeholder, default: fallback });
}

/** A setting that is null when it is not given; `defaultText` says what that means. */
export function optionalFlag<Value>(
  kind: Kind<Value>,
  placeholder: string,
  defaultText: string,
): z.ZodNullable<Kind<Value>> {
  return kind.nullable().register(flagDocs, { placeholder, default: null, defaultText });
}

/** A setting in seconds, of which a thousandth is the smallest part. */
export function secondsFlag(min: number, max: number, fallback: string): Kind<number> {
  const kind = numberText(/^\d{1,9}(?:\.\d{1,3})?$/, min, max, "a number of seconds");
  return flag(kind, "SECONDS", fallback);
}

/** A setting that counts something. */
export function countFlag(min: number, max: number, fallback: string): Kind<number> {
  return flag(integerText(min, max), "COUNT", fallback);
}

/** A setting that is yes or no, in many words, and yes when it stands alone. */
export function switchFlag(fallback: string): Kind<boolean> {
  const kind = lookUpText(SWITCH_WORDS, "true, yes, y, 1, t or false, no, n, 0, f");
  return kind.register(flagDocs, { placeholder: "YES|NO", default: fallback, isSwitch: true });
}

/** Any text but the empty one. */
export function plainText(): Kind<string> {
  return z.string().min(1);
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
