import { describe, expect, test } from "vitest";
import { createLineSplitter, RecentLines } from "../../../src/sidecar/process/lines.js";

function split(...chunks: string[]): string[] {
  const lines: string[] = [];
  const splitter = createLineSplitter((line) => lines.push(line));
  for (const chunk of chunks) splitter.write(chunk);
  splitter.end();
  return lines;
}

describe("the line splitter", () => {
  test("joins what comes in pieces", () => {
    expect(split("one\ntw", "o\nthr", "ee")).toEqual(["one", "two", "three"]);
  });

  test("keeps empty lines and takes both kinds of line ends", () => {
    expect(split("one\r\n\ntwo\n")).toEqual(["one", "", "two"]);
  });

  test("says nothing when there was nothing", () => {
    expect(split()).toEqual([]);
    expect(split("", "")).toEqual([]);
  });

  test.each(["\n", ""])("cuts a line that is too long, with %j at its end", (end) => {
    const lines = split(`${"x".repeat(20_000)}${end}`);

    expect(lines.map((line) => line.length)).toEqual([8192, 8192, 3616]);
  });
});

describe("the recent lines", () => {
  test("are the last ones, oldest first", () => {
    const recent = new RecentLines(3);
    for (const line of ["a", "b", "c", "d", "e", "f", "g", "h"]) recent.add(line);

    expect(recent.list()).toEqual(["f", "g", "h"]);
    expect(recent.list(2)).toEqual(["g", "h"]);
    expect(recent.list(9)).toEqual(["f", "g", "h"]);
  });

  test("are all there are when there are few", () => {
    const recent = new RecentLines(3);
    recent.add("a");

    expect(recent.list()).toEqual(["a"]);
  });
});
