/** The log: structured lines, which no text of a caller can break. */
import { LineWriter } from "./log/line-writer.js";
import { pino, type DestinationStream, type Logger as PinoLogger } from "pino";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type Logger = PinoLogger;

const STANDARD_OUTPUT = 1;

/** Characters that would break a log line, hide text in it or reorder it on a terminal. */
const UNSAFE_CHARACTERS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** The log on standard output, and how many of its lines could not be written. */
export interface OutputLogger {
  readonly log: Logger;
  readonly droppedLineCount: () => number;
}

/** Creates the logger of the program. Whatever becomes of its output, it never waits and never throws. */
export function createOutputLogger(level: LogLevel): OutputLogger {
  const writer = new LineWriter(STANDARD_OUTPUT, (droppedLines) => {
    log.warn({ droppedLines }, `${droppedLines} log lines could not be written`);
  });
  process.once("exit", () => {
    writer.close();
  });
  const log = createLogger(level, writer);
  return { log, droppedLineCount: () => writer.droppedCount };
}

/** Creates a logger: one JSON object a line. */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/**
 * Makes text of a caller fit for one log line: control, format and line-separator characters
 * become visible escapes, and what is over `maxLength` characters is cut.
 */
export function neutralizeText(text: string, maxLength = 500): string {
  const characters = Array.from(text);
  const kept = characters.slice(0, maxLength).join("");
  const visible = kept.replace(UNSAFE_CHARACTERS, escapeCharacter);
  return characters.length > maxLength ? `${visible}…` : visible;
}

function escapeCharacter(character: string): string {
  const short: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const codePoint = character.codePointAt(0) ?? 0;
  return short[character] ?? `\\u{${codePoint.toString(16)}}`;
}
