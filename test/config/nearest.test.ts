/** The name that a wrong one was probably meant to be. */
import { describe, expect, test } from "vitest";
import { countEdits, findNearest } from "../../src/config/nearest.js";

describe("the distance between words", () => {
  test.each([
    ["", "", 0],
    ["port", "port", 0],
    ["prot", "port", 1],
    ["por", "port", 1],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
  ])("%j to %j is %i", (from, to, edits) => {
    expect(countEdits(from, to)).toBe(edits);
  });
});

describe("the nearest of port, host and img_format", () => {
  test.each([
    ["prot", "port"],
    ["img_fromat", "img_format"],
    ["image_format", "img_format"],
    ["nope", null],
    ["foo", null],
    ["test", null],
  ])("to %s is %s", (word, nearest) => {
    expect(findNearest(word, ["port", "host", "img_format"])).toBe(nearest);
  });
});
