import { z } from "zod";
import type { Logger } from "../../log.js";

/** A traceback longer than this is cut into several records. */
const MAX_BLOCK_LINES = 500;

/** How sidecar/cli.py writes its own records; everything else is plain text of libraries. */
const recordSchema = z.object({
  level: z.enum(["debug", "info", "warning", "error", "critical"]),
  logger: z.string(),
  message: z.string(),
  exception: z.string().optional(),
});
type SidecarRecord = z.infer<typeof recordSchema>;

const LEVELS = {
  debug: "debug",
  info: "info",
  warning: "warn",
  error: "error",
  critical: "fatal",
} as const;

export interface LogRate {
  /** Lines that may come at once. */
  readonly logBurstLineCount: number;
  /** Sustained lines per second. */
  readonly logLinesPerSecond: number;
}

/**
 * Brings the output of a sidecar into the log: its records at their own level, the stacks that Python
 * prints as one record each, everything else a line at a time. Of a flood it keeps the beginning and
 * says how much it dropped.
 */
export class OutputLog {
  readonly #log: Logger;
  readonly #rate: LogRate;
  readonly #now: () => number;
  #block: string[] = [];
  #allowance: number;
  #refilledAtMs: number;
  #droppedCount = 0;

  /** @param now - milliseconds on a clock that never goes back. */
  constructor(log: Logger, rate: LogRate, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#rate = rate;
    this.#now = now;
    this.#allowance = rate.logBurstLineCount;
    this.#refilledAtMs = now();
  }

  /** Takes one line of the output. */
  add(line: string): void {
    if (!this.#isAllowed()) return;
    if (this.#block.length > 0) {
      const isInside = /^\s/.test(line) && this.#block.length < MAX_BLOCK_LINES;
      const isCause = !isInside && this.#block[0]?.includes("call last") === true;
      if (isInside || isCause) this.#block.push(line);
      if (!isInside) this.#closeBlock();
      if (isInside || isCause) return;
    }
    if (/\(most recent call (?:first|last)\):$/.test(line)) this.#block.push(line);
    else this.#write(line);
  }

  /** The output has ended. */
  end(): void {
    this.#closeBlock();
    this.#tellDropped();
  }

  #closeBlock(): void {
    if (this.#block.length > 0) this.#log.error(this.#block.join("\n"));
    this.#block = [];
  }

  #write(line: string): void {
    const record = parseRecord(line);
    if (record === null) {
      this.#log.info(line);
      return;
    }
    const { level, message, ...facts } = record;
    this.#log[LEVELS[level]](facts, message);
  }

  #isAllowed(): boolean {
    const nowMs = this.#now();
    const refill = ((nowMs - this.#refilledAtMs) / 1000) * this.#rate.logLinesPerSecond;
    this.#allowance = Math.min(this.#rate.logBurstLineCount, this.#allowance + refill);
    this.#refilledAtMs = nowMs;
    if (this.#allowance < 1) {
      this.#droppedCount += 1;
      return false;
    }
    this.#allowance -= 1;
    this.#tellDropped();
    return true;
  }

  #tellDropped(): void {
    if (this.#droppedCount === 0) return;
    const droppedCount = this.#droppedCount;
    this.#droppedCount = 0;
    const message = `${droppedCount} lines of the sidecar were dropped: it wrote more than ${this.#rate.logLinesPerSecond} a second`;
    this.#log.warn({ droppedCount }, message);
  }
}

/** A line as a person would read it: a record of the sidecar without its JSON. */
export function describeLine(line: string): string {
  const record = parseRecord(line);
  if (record === null) return line;
  const { level, logger, message, exception } = record;
  const head = `${level.toUpperCase()} ${logger}: ${message}`;
  return exception === undefined ? head : `${head}\n${exception}`;
}

function parseRecord(line: string): SidecarRecord | null {
  if (!line.startsWith('{"level":')) return null;
  try {
    return recordSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
