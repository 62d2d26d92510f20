/**
 * The checks of the fields of a message, each with the words in which it refuses a value.
 *
 * The twin of sidecar/wire/fields.py, in the same order. Here a check is a zod schema.
 */
import { z } from "zod";

/** A string of well-formed Unicode (no lone surrogates). */
export const text = matching(/^\P{Surrogate}*$/u, "a string of well-formed Unicode");

/** A short name: of a task, of a code. */
export const identifier = matching(/^[\x21-\x7e]{1,128}$/, "1 to 128 printable ASCII characters");

/** A hash of 256 bits in hexadecimal. */
export const digest = matching(/^[0-9a-f]{64}$/, "64 lower-case hexadecimal digits");

/** True or false, nothing that merely looks like it. */
export const boolean = z.boolean("true or false");

/** A whole number from `low` to `high`; 1.0 is whole too. */
export function integer(low: number, high: number = Number.MAX_SAFE_INTEGER): z.ZodInt {
  const expectation = `an integer from ${low} to ${high}`;
  return z.int(expectation).min(low, expectation).max(high, expectation);
}

/** Any finite number. */
export const number = z.number("a finite number");

/** A finite number that is not negative. */
export const amount = z
  .number("a finite number of at least 0")
  .min(0, "a finite number of at least 0");

/** One of `words`. */
export function oneOf<const Word extends string>(...words: Word[]): z.ZodType<Word> {
  return z.enum(words, `one of ${words.join(", ")}`);
}

/** A pair of values, the lowest and the highest allowed. */
export function rangeOf<Value extends z.ZodType>(value: Value): z.ZodTuple<[Value, Value], null> {
  return z.tuple([value, value], "a pair [lowest, highest]");
}

/** An object of amounts under free names. */
export const amounts = z.record(z.string(), amount, "an object");

/** Pairs of task id and token count. */
export const tokenCounts = z.array(
  z.tuple([identifier, integer(0)], "[taskId, tokenCount]"),
  "an array of [taskId, tokenCount]",
);

/** A nested object. */
export function record<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape> {
  return z.object(shape, "an object");
}

function matching(pattern: RegExp, expectation: string): z.ZodString {
  return z.string(expectation).regex(pattern, expectation);
}
