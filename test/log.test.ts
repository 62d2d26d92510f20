import { describe, expect, test } from "vitest";
import { createLogger, neutralizeText } from "../src/log.js";
import { matching } from "./support/matchers.js";

describe("text of strangers in the log", () => {
  test.each([
    ["plain text, ünïcode and 🐈", "plain text, ünïcode and 🐈"],
    ["a\nb\r\tc", String.raw`a\nb\r\tc`],
    ["\u001b[31mred\u0007", String.raw`\u{1b}[31mred\u{7}`],
    ["\u2028\u2029\u0085", String.raw`\u{2028}\u{2029}\u{85}`],
    ["\u202egpj.exe", String.raw`\u{202e}gpj.exe`],
    ["\ud800", String.raw`\u{d800}`],
  ])("%j is shown as %j", (text, shown) => {
    expect(neutralizeText(text)).toBe(shown);
  });

  test("is cut between characters", () => {
    expect(neutralizeText("🐈".repeat(5), 3)).toBe("🐈🐈🐈…");
  });
});

describe("the log", () => {
  test("writes one JSON object a line with level and time, and nothing below its level", () => {
    const lines: string[] = [];
    const log = createLogger("warn", { write: (line) => lines.push(line) });
    log.info("not this");
    log.warn({ count: 2 }, "this");
    expect(lines).toHaveLength(1);
    expect(lines[0]?.trimEnd()).not.toContain("\n");
    expect(JSON.parse(lines[0] ?? "")).toEqual({
      level: "warn",
      time: matching(/^\d{4}-\d\d-\d\dT.*Z$/),
      count: 2,
      msg: "this",
    });
  });
});
