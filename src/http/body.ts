/** Any body as one JSON object. */
import express, { type Request, type RequestHandler } from "express";
import { AppError } from "../errors.js";

const BODY_LIMIT_BYTES = 1024 * 1024;

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Reads the body as bytes whatever the Content-Type says: the original playground page sends JSON as
 * `text/plain`, and curl sends it as a form.
 */
export const readBody: RequestHandler = express.raw({
  type: () => true,
  limit: BODY_LIMIT_BYTES,
});

/**
 * Decodes the bytes of {@link readBody} as one JSON object.
 *
 * @throws AppError `invalid_json`.
 */
export function parseJsonObject(request: Request): JsonObject {
  const body: unknown = request.body;
  if (!(body instanceof Uint8Array) || body.byteLength === 0) {
    throw createJsonError("The body is empty");
  }
  const value = parseJson(decodeText(body));
  if (isObject(value)) return value;
  if (value === null) throw createJsonError("The body is null");
  throw createJsonError(`The body is ${Array.isArray(value) ? "an array" : `a ${typeof value}`}`);
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw createJsonError("The body is not valid UTF-8", error);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // The parser's own message quotes the body, which may hold anything.
    throw createJsonError("The body is not valid JSON", error);
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function createJsonError(problem: string, cause?: unknown): AppError {
  const expected = `expected a JSON object in UTF-8, such as {"text": "a red circle"}`;
  return new AppError("invalid_json", `${problem}; ${expected}.`, { cause });
}
