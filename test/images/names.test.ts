import { describe, expect, test } from "vitest";
import { createSafeName, formatStamp } from "../../src/images/names.js";

/** A prompt and the name that it gets. */
const HOSTILE: readonly (readonly [string, string])[] = [
  ["a red circle", "a red circle"],
  ["", "untitled"],
  [".", "untitled"],
  ["..", "untitled"],
  ["../../etc/passwd", "_.._etc_passwd"],
  ["..\\..\\windows", "_.._windows"],
  ["/etc/passwd", "_etc_passwd"],
  ["C:\\autoexec.bat", "C__autoexec.bat"],
  ["a/b", "a_b"],
  [".hidden", "hidden"],
  ["trailing dots...", "trailing dots"],
  ["trailing spaces   ", "trailing spaces"],
  ["dot and space. . .", "dot and space"],
  ["CON", "CON_"],
  ["con.txt", "con_.txt"],
  ["Lpt1", "Lpt1_"],
  ["COM¹", "COM¹_"],
  ["nul .", "nul_"],
  ["console", "console"],
  ['what? <why> "how" | *', "what_ _why_ _how_ _ _"],
  ["time 12:30", "time 12_30"],
  ["line\nbreak\r\n\ttab", "line_break___tab"],
  ["zero\u0000byte", "zero_byte"],
  ["escape\u001b[2J", "escape_[2J"],
  ["right\u202eto left", "right_to left"],
  ["half \ud83d pair", "half _ pair"],
  ["\u2028separator\u2029", "_separator_"],
  ["cafe\u0301", "café"],
  ["日本の 猫 🐈", "日本の 猫 🐈"],
  ["family 👨‍👩‍👧", "family 👨‍👩‍👧"],
  ["wide\u3000 space \u00a0here", "wide space here"],
  ["-rf *", "-rf _"],
  ["~/home $(reboot) `x` %PATH%", "~_home $(reboot) `x` %PATH%"],
];

describe("folder names from prompts", () => {
  test.each(HOSTILE)("%j becomes %j", (prompt, name) => {
    expect(createSafeName(prompt)).toBe(name);
  });

  test.each([
    ["2000 letters", "a".repeat(2000)],
    ["emoji", "🐈".repeat(500)],
    ["accents that cannot be composed", "q\u0307\u0323".repeat(500)],
    ["dots where it is cut", "a".repeat(119) + ".".repeat(50)],
    ["one letter under a thousand accents", `a${"\u0301".repeat(1000)}`],
    ["ligatures that grow when they are normalised", "\ufb2c".repeat(200)],
  ])("a name stays within 120 bytes and whole characters: %s", (_name, prompt) => {
    const name = createSafeName(prompt);
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(120);
    expect(name).not.toBe("");
    expect(name).not.toMatch(/[\p{Cs}. ]$/u);
    expect(createSafeName(name)).toBe(name);
  });
});

describe("the date in folder names", () => {
  test("is local time with leading zeros", () => {
    expect(formatStamp(new Date(2026, 0, 5, 7, 8, 9))).toBe("2026-01-05_07-08-09");
  });
});
