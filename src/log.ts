/** The log: structured lines, which no text of a caller can break. */
import { pino, type DestinationStream, type Logger as PinoLogger } from "pino";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type Logger = PinoLogger;

/** Characters that would break a log line, hide text in it or reorder it on a terminal. */
const UNSAFE_CHARACTERS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Creates the root logger: one JSON object a line, on standard output unless another destination is given. */
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
