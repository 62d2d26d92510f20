import { describe, expect, test } from "vitest";
import { z } from "zod";
import { createLogger } from "../../../src/log.js";
import { describeLine, OutputLog } from "../../../src/sidecar/process/output-log.js";

const lineSchema = z.looseObject({ level: z.string(), msg: z.string() });

function createLog(logBurstLineCount = 1_000) {
  const clock = { ms: 0 };
  const lines: z.infer<typeof lineSchema>[] = [];
  const write = (text: string) => lines.push(lineSchema.parse(JSON.parse(text)));
  const rate = { logBurstLineCount, logLinesPerSecond: 10 };
  const log = new OutputLog(createLogger("debug", { write }), rate, () => clock.ms);
  const add = (...added: string[]) => {
    for (const line of added) log.add(line);
  };
  return { log, lines, clock, add };
}

const RECORD = JSON.stringify({ level: "warning", logger: "sidecar", message: "few slots" });

describe("the output of a sidecar", () => {
  test("is logged line by line", () => {
    const { lines, add } = createLog();
    add("one", "two");
    expect(lines).toMatchObject([
      { level: "info", msg: "one" },
      { level: "info", msg: "two" },
    ]);
  });

  test("keeps the level of its own records", () => {
    const { lines, add } = createLog();
    add(RECORD);
    expect(lines).toMatchObject([{ level: "warn", msg: "few slots", logger: "sidecar" }]);
  });

  test.each(['{"level":', '{"level":"loud","message":"a"}', "{}"])("takes %s as text", (line) => {
    const { lines, add } = createLog();
    add(line);
    expect(lines).toMatchObject([{ level: "info", msg: line }]);
  });

  test("keeps a traceback whole, up to the error at its end", () => {
    const { lines, add } = createLog();
    const traceback = ["Traceback (most recent call last):", '  File "a.py"', "ValueError: no"];
    add("before", ...traceback, "after");
    expect(lines.map(({ msg }) => msg)).toEqual(["before", traceback.join("\n"), "after"]);
    expect(lines[1]?.level).toBe("error");
  });

  test("keeps the stack of each thread whole, also the last one of a process that ends", () => {
    const { log, lines, add } = createLog();
    const stack = ["Thread 0x1 (most recent call first):", '  File "a.py", line 3 in f'];
    add(...stack, ...stack);
    log.end();
    expect(lines.map(({ msg }) => msg)).toEqual([stack.join("\n"), stack.join("\n")]);
  });

  test("is cut in a flood, and the log says how much is missing", () => {
    const { log, lines, clock, add } = createLog(3);
    add("1", "2", "3", "4", "5");
    expect(lines).toHaveLength(3);
    clock.ms = 200;
    add("6", "7", "8");
    log.end();
    expect(lines.map(({ msg }) => msg.slice(0, 12))).toEqual([
      "1",
      "2",
      "3",
      "2 lines of t",
      "6",
      "7",
      "1 lines of t",
    ]);
  });

  test("can be read by people where a failure is reported", () => {
    expect(describeLine(RECORD)).toBe("WARNING sidecar: few slots");
    expect(describeLine("plain")).toBe("plain");
  });
});
