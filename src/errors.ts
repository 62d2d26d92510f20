/**
 * One table of everything that can go wrong, and the one error class that carries an entry of it.
 *
 * An entry says what the code means, which HTTP status it becomes, its `type` in the error body, and
 * whether the same request may succeed when it is sent again (`retryable`). Codes are part of the
 * public interface: clients and logs match on them, so they are never renamed.
 */

type ErrorType = "invalid_request_error" | "rate_limit_error" | "server_error";

interface ErrorEntry {
  /** HTTP status of the answer; the last codes of the table are never answered over HTTP. */
  readonly status: number;
  readonly type: ErrorType;
  /** Whether sending the same request again later can succeed. */
  readonly retryable: boolean;
  readonly meaning: string;
}

export const ERROR_CODES = {
  // The caller's side: the request has to change.
  invalid_json: entry(400, "invalid_request_error", false, "the body is not a JSON object"),
  invalid_value: entry(400, "invalid_request_error", false, "a field is missing or out of range"),
  unsupported_value: entry(400, "invalid_request_error", false, "a valid value, not offered here"),
  invalid_request: entry(400, "invalid_request_error", false, "the request is not readable HTTP"),
  not_found: entry(404, "invalid_request_error", false, "no such path"),
  model_not_found: entry(404, "invalid_request_error", false, "no such model on this server"),
  method_not_allowed: entry(405, "invalid_request_error", false, "the path has other methods"),
  body_too_large: entry(413, "invalid_request_error", false, "the body is over the size limit"),
  headers_too_large: entry(431, "invalid_request_error", false, "the headers are over the limit"),
  prompt_quarantined: entry(422, "invalid_request_error", false, "the prompt ended the sidecar"),
  queue_full: entry(429, "rate_limit_error", true, "too many images are waiting"),

  // The server's side: the request was fine.
  not_ready: entry(503, "server_error", true, "no sidecar can take work now"),
  shutting_down: entry(503, "server_error", true, "the server is stopping"),
  deadline_exceeded: entry(504, "server_error", false, "the request took longer than allowed"),
  sidecar_lost: entry(500, "server_error", true, "the sidecar went away with a task; retried once"),
  task_returned: entry(503, "server_error", true, "the sidecar gave a task back; it runs again"),
  sidecar_crashed: entry(500, "server_error", false, "the sidecar went away twice with one task"),
  generation_failed: entry(500, "server_error", false, "the sidecar reported that a task failed"),
  internal_error: entry(500, "server_error", true, "a fault of the server itself"),

  // Never answered over HTTP.
  cancelled: entry(499, "invalid_request_error", false, "the caller went away"),
  config_invalid: entry(500, "server_error", false, "a setting is wrong; nothing is started"),
  listen_failed: entry(500, "server_error", false, "the port or address cannot be used"),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;

interface AppErrorOptions {
  /** The request field at fault, as the client wrote it. */
  readonly param?: string | null;
  /** Seconds after which the same request is worth sending again. */
  readonly retryAfterS?: number;
  /** The error that led here; kept for the log, never answered. */
  readonly cause?: unknown;
}

/** A failure with a code of {@link ERROR_CODES}. Its message is safe to show to a client. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly param: string | null;
  readonly retryAfterS: number | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.param = options.param ?? null;
    this.retryAfterS = options.retryAfterS;
  }
}

/** Whether `error` is an {@link AppError} with this code. */
export function hasCode(error: unknown, code: ErrorCode): error is AppError {
  return error instanceof AppError && error.code === code;
}

/** The message of anything that was thrown. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The one error of wrong settings; it lists every problem. */
export function createConfigError(problems: readonly string[]): AppError {
  const list = problems.map((problem) => `  - ${problem}`).join("\n");
  const message = `The settings are not valid:\n${list}\n(--help all lists them.)`;
  return new AppError("config_invalid", message);
}

function entry(status: number, type: ErrorType, retryable: boolean, meaning: string): ErrorEntry {
  return { status, type, retryable, meaning };
}
