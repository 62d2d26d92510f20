/** How the two suites are selected, run and counted. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  countTests,
  formatCounts,
  judgeRun,
  listSuites,
  SLOW_TESTS,
} from "../../scripts/lib/suites.mjs";
import { ROOT } from "../harness/paths.mjs";

describe("a selection of the suites", () => {
  test.each(["all", "fast"])(
    "%s refuses arguments, and names the commands that take them",
    (part) => {
      const program = join(ROOT, "scripts", "test.mjs");
      const { status, stderr } = spawnSync(process.execPath, [program, part, "test/log.test.ts"], {
        encoding: "utf8",
      });
      expect(status).toBe(2);
      expect(stderr).toMatch(/"test\/log\.test\.ts"[^]*test:ts -- [^]*test:py -- /);
    },
  );

  test.each(["ts", "py"] as const)("%s is one suite, which gets the arguments", (part) => {
    const suites = listSuites("/root", part, ["--one", "two"]);
    expect(suites.map(({ command }) => command.slice(-2))).toEqual([["--one", "two"]]);
  });

  test("fast leaves out what is slow, in both suites", () => {
    const commands = listSuites("/root", "fast").flatMap(({ command }) => command);
    expect(commands).toContain("--exclude=test/system/**");
    expect(commands).toContain("--ignore=test/python/compatibility");
  });

  test("fast leaves out nothing that is not there", () => {
    const paths = Object.values(SLOW_TESTS).flat();
    const missing = paths.filter((path) => !existsSync(join(ROOT, path.replace("/**", ""))));
    expect(missing).toEqual([]);
  });
});

describe("the counts of a suite", () => {
  test("are read from the report of pytest, errors among the failures", () => {
    const report =
      '<?xml version="1.0"?><testsuites name="t"><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10" time="1.0">';
    expect(countTests(report)).toEqual({ passed: 4, failed: 3, skipped: 3 });
  });

  test("are those of all files in the report of vitest, one that cannot be loaded too", () => {
    const report = `<testsuites name="vitest tests" tests="9" failures="3" errors="0">
      <testsuite name="a.test.ts" tests="8" failures="2" errors="0" skipped="1" time="0.1">
      <testsuite name="b.test.ts" tests="1" failures="1" errors="0" skipped="0" time="0">`;
    expect(countTests(report)).toEqual({ passed: 5, failed: 3, skipped: 1 });
  });
});

describe("a run", () => {
  test("that passed is left as it is", () => {
    const counts = { passed: 3, failed: 0, skipped: 0 };
    expect(judgeRun(counts, 0)).toEqual({ counts, problem: null });
  });

  test.each([
    ["ran no test", { passed: 0, failed: 0, skipped: 0 }, 0],
    ["left no report", countTests(""), 1],
    ["ended badly without a failed test", { passed: 3, failed: 0, skipped: 0 }, 1],
  ])("that %s counts as a failure", (_, counts, exitCode) => {
    const judged = judgeRun(counts, exitCode);
    expect(judged.counts.failed).toBe(1);
    expect(judged.problem).not.toBeNull();
  });
});

test("the closing line names skipped tests only when there are any", () => {
  expect(formatCounts({ passed: 7, failed: 0, skipped: 0 })).toBe("7 passed, 0 failed");
  expect(formatCounts({ passed: 7, failed: 1, skipped: 2 })).toBe("7 passed, 1 failed, 2 skipped");
});
