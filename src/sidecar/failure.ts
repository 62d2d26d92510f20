import { AppError } from "../errors.js";

/** Why a sidecar ended, or was ended. */
export interface Failure {
  readonly code: FailureCode | (string & {});
  /** A sentence without a capital and without a full stop. */
  readonly message: string;
  /** Whether a restart with the same settings would end the same way. */
  readonly isPermanent: boolean;
}

/** How a spawn ended; `failure` is null when it was asked to. */
export interface SpawnEnd {
  readonly failure: Failure | null;
  /** When the end or the failure was noticed, in epoch milliseconds. */
  readonly noticedAt: number;
  readonly lastLines: readonly string[];
}

/** The kinds of failure that the server finds; a sidecar that says FAILED brings its own code. */
const FAILURE_CODES = [
  "spawn_failed",
  "exited",
  "killed",
  "hello_timeout",
  "start_timeout",
  "silent",
  "hung",
  "accept_timeout",
  "unreachable",
  "handshake_refused",
  "protocol_error",
  "version_mismatch",
  "start_failed",
] as const;
export type FailureCode = (typeof FAILURE_CODES)[number];

/** The codes that a sidecar reports; each says of itself whether a restart may help. */
const REPORTED_CODES = [
  ...["checkpoint_not_found", "checkpoint_invalid", "config_unsupported", "hub_refused"],
  ...["cache_unwritable", "memory_insufficient", "hub_unreachable", "engine_error"],
  ...["out_of_memory", "device_error"],
];

const COUNTED_CODES: ReadonlySet<string> = new Set([...FAILURE_CODES, ...REPORTED_CODES]);

/** The code under which a failure is counted: a sidecar of another release must not add labels. */
export function nameForCount({ code }: Failure): string {
  return COUNTED_CODES.has(code) ? code : "other";
}

/** Exit code of a sidecar that gave up for good; see sidecar/exit_codes.py. */
export const EXIT_PERMANENT = 3;

/** How a process ended. */
export type Exit =
  | { readonly kind: "spawn_failed"; readonly error: Error; readonly isMissing: boolean }
  | { readonly kind: "exited"; readonly exitCode: number }
  | { readonly kind: "killed"; readonly signal: NodeJS.Signals };

/** A failure that a restart may cure. */
export function createFailure(code: FailureCode, message: string): Failure {
  return { code, message, isPermanent: false };
}

/** The failure that an exit is when nothing else was known before it. */
export function describeExit(exit: Exit, state: string): Failure {
  switch (exit.kind) {
    case "spawn_failed":
      return {
        code: exit.kind,
        message: `the sidecar could not be started: ${exit.error.message}`,
        isPermanent: exit.isMissing,
      };
    case "exited":
      return {
        code: exit.kind,
        message: `the sidecar exited with code ${exit.exitCode} while it was ${state}`,
        isPermanent: exit.exitCode === EXIT_PERMANENT,
      };
    case "killed":
      return createFailure(
        exit.kind,
        `the sidecar was ended by ${exit.signal} while it was ${state}`,
      );
  }
}

/** What was sent just before the end may still be on its way through ZeroMQ. */
const SETTLE_MS = 50;
/** The reason of a permanent failure is worth a longer wait: no restart is delayed by it. */
const LAST_WORDS_MS = 5_000;

/** How long what the process said last may still take to arrive, unless it was the reason of its end. */
export function chooseSettleMs(exit: Exit): number {
  return exit.kind === "exited" && exit.exitCode === EXIT_PERMANENT ? LAST_WORDS_MS : SETTLE_MS;
}

/** What the tasks of a sidecar that died are rejected with. */
export function createLostError(): AppError {
  return new AppError("sidecar_lost", "The sidecar ended while it made the image.");
}

/** What the tasks of a server that stops are rejected with. */
export function createStopError(): AppError {
  return new AppError("shutting_down", "The server stopped before the image was made.");
}

/** What a task is rejected with that the sidecar did not finish, through no fault of the task. */
export function createReturnError(cause?: unknown): AppError {
  return new AppError("task_returned", "The sidecar gave the task back.", { cause });
}

const MAX_REASON_LENGTH = 300;

/** Why a sidecar ended, in one line and without folders of this machine: any caller may read it. */
export function toPublicReason(reason: string): string {
  const firstLine = reason.split("\n", 1)[0] ?? "";
  return firstLine
    .replace(/(^|[\s"'(=:])(?:\/[^\s/"'):]+)+\/([^\s/"'):]+)/g, "$1$2")
    .slice(0, MAX_REASON_LENGTH);
}
