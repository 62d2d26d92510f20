import { describe, expect, test } from "vitest";

import { countPytest, countVitest, formatCounts, judgeRun } from "../../scripts/lib/suites.mjs";

describe("the counts of vitest", () => {
  test("are read from its report", () => {
    const report = JSON.stringify({
      numPassedTests: 5,
      numFailedTests: 2,
      numPendingTests: 1,
      numTodoTests: 0,
      testResults: [{ status: "failed", assertionResults: [{}] }],
    });
    expect(countVitest(report)).toEqual({ passed: 5, failed: 2, skipped: 1 });
  });

  test("take a file that cannot be loaded as a failure", () => {
    const report = JSON.stringify({
      numPassedTests: 5,
      numFailedTests: 0,
      numPendingTests: 0,
      numTodoTests: 0,
      testResults: [{ status: "failed", assertionResults: [] }],
    });
    expect(countVitest(report)).toEqual({ passed: 5, failed: 1, skipped: 0 });
  });
});

describe("the counts of pytest", () => {
  test("are read from its report, errors among the failures", () => {
    const report =
      '<?xml version="1.0"?><testsuites name="t"><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10" time="1.0">';
    expect(countPytest(report)).toEqual({ passed: 4, failed: 3, skipped: 3 });
  });
});

describe("a run", () => {
  test("that passed is left as it is", () => {
    const counts = { passed: 3, failed: 0, skipped: 0 };
    expect(judgeRun(counts, 0)).toEqual({ counts, problem: null });
  });

  test.each([
    ["ran no test", { passed: 0, failed: 0, skipped: 0 }, 0],
    ["left no report", null, 1],
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
