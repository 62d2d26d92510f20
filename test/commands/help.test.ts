/** The texts of --help and --help all. */
import { describe, expect, test } from "vitest";
import { formatHelp } from "../../src/commands/help.js";
import { FLAGS } from "../../src/config/flags.js";

const linesOf = (isAll: boolean) => formatHelp("1.2.3", isAll).split("\n");
const flagsOf = (isAll: boolean) =>
  linesOf(isAll).flatMap((line) => /^ {2}--(\w+)/.exec(line)?.[1] ?? []);

describe("--help", () => {
  test("fits on one screen", () => {
    expect(linesOf(false).length).toBeLessThanOrEqual(30);
  });

  test("has the flags that people set, with their defaults", () => {
    const common = ["port", "host", "model_version", "checkpoint", "save_to_disk", "log_level"];
    expect(flagsOf(false)).toEqual(expect.arrayContaining(common));
    expect(flagsOf(false)).not.toContain("backoff_cap");
    const text = formatHelp("1.2.3", false).replace(/\s+/g, " ");
    expect(text).toContain("--port PORT port to listen on; 0 takes any free port [8000]");
    expect(text).toContain("[Mini if its weights are on this machine, else Nano]");
  });
});

describe("--help all", () => {
  test("names every flag under a heading", () => {
    expect(flagsOf(true)).toEqual(FLAGS.map(({ name }) => name));
    expect(linesOf(true)).toEqual(expect.arrayContaining(["Serving:", "Restarts:", "Transport:"]));
    expect(FLAGS.filter(({ group }) => group === undefined)).toEqual([]);
  });
});

test.each([false, true])("no line is wider than 100 columns (all: %s)", (isAll) => {
  expect(linesOf(isAll).filter((line) => line.length > 100)).toEqual([]);
});
