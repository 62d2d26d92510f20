/** A line longer than this is cut into several: a process without newlines must not fill the memory. */
const MAX_LINE_LENGTH = 8192;
const PARTS = new RegExp(`.{1,${MAX_LINE_LENGTH}}`, "gs");

/** Turns chunks of text into lines. Call the result with each chunk, then `end` once. */
export function createLineSplitter(onLine: (line: string) => void): {
  write: (chunk: string) => void;
  end: () => void;
} {
  let rest = "";
  return {
    write(chunk) {
      const lines = (rest + chunk).split(/\r?\n/);
      const parts = lines.flatMap((line) => line.match(PARTS) ?? [""]);
      rest = parts.pop() ?? "";
      for (const part of parts) onLine(part);
    },
    end() {
      if (rest !== "") onLine(rest);
      rest = "";
    },
  };
}

/** The last lines of a log, for the report of a failure. */
export class RecentLines {
  readonly #limit: number;
  readonly #lines: string[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(line: string): void {
    this.#lines.push(line);
    // Cut rarely: shifting an array for each line of a flood would be slow.
    if (this.#lines.length >= this.#limit * 2)
      this.#lines.splice(0, this.#lines.length - this.#limit);
  }

  /** Oldest first. */
  list(count: number = this.#limit): readonly string[] {
    return this.#lines.slice(-Math.min(count, this.#limit));
  }
}
