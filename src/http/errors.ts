/** Every error as one JSON shape. */
import type { ErrorRequestHandler, RequestHandler, Response } from "express";
import { AppError, ERROR_CODES } from "../errors.js";
import { neutralizeText, type Logger } from "../log.js";
import { noteForLog } from "./request-log.js";

/** The one shape of every error answer. */
export function createErrorBody(error: AppError): object {
  const { type } = ERROR_CODES[error.code];
  return { error: { message: error.message, type, param: error.param, code: error.code } };
}

/** Answers with the error, its status, and the headers by which a client library knows whether to retry. */
export function sendError(response: Response, error: AppError): void {
  const { code, message } = error;
  const { status, retryable } = ERROR_CODES[code];
  noteForLog(response, status >= 500 ? { code, reason: message } : { code });
  response.status(status);
  response.setHeader("x-should-retry", String(retryable));
  if (error.retryAfterS !== undefined) response.setHeader("retry-after", String(error.retryAfterS));
  response.json(createErrorBody(error));
}

/**
 * The last handler: turns whatever was thrown into an error answer. Of a fault of the server itself
 * the stack goes to the log; the other errors are expected, and their code is on the request's line.
 */
export function createErrorHandler(log: Logger): ErrorRequestHandler {
  return (thrown: unknown, _request, response, next) => {
    const error = toAppError(thrown);
    if (error.code === "internal_error") {
      const requestId = response.getHeader("x-request-id");
      log.error({ err: thrown, requestId, code: error.code }, "The request failed");
    }
    // Express cuts the connection of an answer that has begun.
    if (response.headersSent) next(thrown);
    else if (!response.destroyed) sendError(response, error);
  };
}

export const refuseUnknownPath: RequestHandler = (request) => {
  const shown = neutralizeText(request.path, 100);
  const message = `There is no ${request.method} ${shown} here. Pictures are made with POST /dalle and POST /v1/images/generations.`;
  throw new AppError("not_found", message);
};

function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  const cause = { cause: thrown };
  switch (readStatus(thrown)) {
    case 413:
      return new AppError("body_too_large", "The body is too large: at most 1 MB is read.", cause);
    case 415:
      return new AppError(
        "unsupported_value",
        "The header Content-Encoding must be absent, gzip, deflate or br.",
        { ...cause, param: "Content-Encoding" },
      );
    case null:
      return new AppError("internal_error", "The server made a mistake; its log says more.", cause);
    default:
      return new AppError("invalid_request", "The request could not be read.", cause);
  }
}

/** The 4xx status that Express and its body reader put on their errors, or null. */
function readStatus(thrown: unknown): number | null {
  if (!(thrown instanceof Error) || !("status" in thrown)) return null;
  const { status } = thrown;
  return typeof status === "number" && status >= 400 && status < 500 ? status : null;
}
