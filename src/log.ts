import {
  pino,
  type DestinationStream,
  type LevelWithSilent,
  type Logger as PinoLogger,
} from "pino";

export type LogLevel = LevelWithSilent;
export type Logger = PinoLogger;

/** Characters that would break a log line, hide text in it or reorder it on a terminal. */
const UNSAFE_CHARACTERS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Creates the root logger: one JSON object a line, on standard output unless told otherwise. */
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
 * Makes text of a stranger fit for one log line: control, format and line-separator characters
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
