/** A line longer than this is cut into several: a process without newlines must not fill the memory. */
const MAX_LINE_LENGTH = 8192;

/** Turns chunks of text into lines. Call the result with each chunk, then `end` once. */
export function createLineSplitter(onLine: (line: string) => void): {
  write: (chunk: string) => void;
  end: () => void;
} {
  let rest = "";
  return {
    write(chunk) {
      const lines = (rest + chunk).split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) for (const part of cutLine(line)) onLine(part);
      while (rest.length >= MAX_LINE_LENGTH) {
        onLine(rest.slice(0, MAX_LINE_LENGTH));
        rest = rest.slice(MAX_LINE_LENGTH);
      }
    },
    end() {
      if (rest !== "") onLine(rest);
      rest = "";
    },
  };
}

function cutLine(line: string): string[] {
  if (line.length <= MAX_LINE_LENGTH) return [line];
  const partCount = Math.ceil(line.length / MAX_LINE_LENGTH);
  return Array.from({ length: partCount }, (_, index) =>
    line.slice(index * MAX_LINE_LENGTH, (index + 1) * MAX_LINE_LENGTH),
  );
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
