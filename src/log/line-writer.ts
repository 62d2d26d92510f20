/** Writes lines to a file descriptor without ever waiting for it, and counts those that it had to drop. */
import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";

/** What a reader that is slow for a moment may leave unread before lines are dropped. */
const MAX_PENDING_BYTES = 256 * 1024;
const RETRY_MS = 50;

/**
 * The log must never stop the server: a write that would wait is kept and tried again later, and what
 * does not fit, or cannot be written at all (a full disk, a closed pipe), is dropped.
 */
export class LineWriter {
  readonly #fd: number;
  readonly #isOwn: boolean;
  readonly #onRecovered: (droppedCount: number) => void;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #retryTimer: NodeJS.Timeout | undefined;
  #droppedCount = 0;
  /** Lines dropped since the last line that was written. */
  #lostCount = 0;
  /** Whether what was written so far ends inside a line. */
  #isInsideLine = false;
  /** Whether the first pending bytes are the rest of that line. */
  #isRest = false;

  /** @param onRecovered - called with the number of lost lines once a line can be written again. */
  constructor(fd: number, onRecovered: (droppedCount: number) => void) {
    const own = reopen(fd);
    this.#fd = own ?? fd;
    this.#isOwn = own !== null;
    this.#onRecovered = onRecovered;
  }

  /** Lines that were dropped since the start. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  /** Takes one line with its line break. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#pendingBytes + bytes.length > MAX_PENDING_BYTES) {
      this.#drop(1);
      return;
    }
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    this.#flush();
  }

  /** Tries once more to write what is left, and lets go of the descriptor. */
  close(): void {
    this.#flush();
    clearTimeout(this.#retryTimer);
    if (this.#isOwn) closeSync(this.#fd);
  }

  #flush(): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    try {
      while (this.#pending.length > 0) this.#writeFirst();
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") {
        this.#retryTimer = setTimeout(() => {
          this.#flush();
        }, RETRY_MS).unref();
        return;
      }
      this.#drop(this.#pending.length);
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#isRest = false;
    }
  }

  #writeFirst(): void {
    const [first] = this.#pending;
    if (first === undefined) return;
    // The rest of a line that broke off is lost: the next one starts on a line of its own.
    const needsBreak = this.#isInsideLine && !this.#isRest;
    const bytes = needsBreak ? Buffer.concat([Buffer.from("\n"), first]) : first;
    const rest = bytes.subarray(writeSync(this.#fd, bytes));
    this.#isRest = this.#isInsideLine = rest.length > 0;
    this.#pendingBytes += rest.length - first.length;
    if (rest.length > 0) this.#pending[0] = rest;
    else this.#pending.shift();
    if (rest.length > 0 || this.#lostCount === 0) return;
    const lostCount = this.#lostCount;
    this.#lostCount = 0;
    this.#onRecovered(lostCount);
  }

  #drop(lineCount: number): void {
    this.#droppedCount += lineCount;
    this.#lostCount += lineCount;
  }
}

/**
 * Opens the file behind a descriptor once more, so that its writes do not wait without changing how
 * other processes use it. Null where that cannot be done: sockets, and systems without /proc.
 */
function reopen(fd: number): number | null {
  try {
    if (fstatSync(fd).isSocket()) return null;
    const { O_WRONLY, O_NONBLOCK, O_APPEND, O_NOCTTY } = constants;
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_APPEND | O_NOCTTY);
  } catch {
    return null;
  }
}
