import { expect } from "vitest";

/** `expect.stringContaining`, typed as what it is to the compiler: nothing known. */
export function containing(text: string): unknown {
  return expect.stringContaining(text);
}

export function matching(pattern: RegExp): unknown {
  return expect.stringMatching(pattern);
}
