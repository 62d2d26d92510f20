/** The two test suites: how to run each and how to count what it reports. */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { run } from "./run.mjs";

/**
 * @typedef {{ passed: number, failed: number, skipped: number }} Counts
 *
 * @typedef {object} Suite
 * @property {string} name
 * @property {string} report where the suite writes its counts, as JUnit XML
 * @property {[string, ...string[]]} command
 */

/**
 * What npm run test:fast leaves out: compiling or loading a model, the built server, faults that take their time. This
 * is the one place that says what is slow, as patterns for vitest and as paths for pytest.
 */
export const SLOW_TESTS = {
  vitest: ["test/system/**", "test/soak/**", "test/sidecar/fault-matrix.test.ts"],
  pytest: [
    "test/python/checkpoint/test_damaged.py",
    "test/python/checkpoint/test_shards.py",
    "test/python/compatibility",
    "test/python/engine",
    "test/python/hub/test_pull.py",
    "test/python/model",
    "test/python/test_compute.py",
    "test/python/test_nano.py",
  ],
};

const NOTHING = { passed: 0, failed: 0, skipped: 0 };

/**
 * Sums up a JUnit report: vitest has one element for each test file, and a failure in that of a file that cannot be
 * loaded; pytest has one for all.
 *
 * @param {string} report
 */
export function countTests(report) {
  const counts = { ...NOTHING };
  for (const [suite] of report.matchAll(/<testsuite [^>]*>/g)) {
    /** @param {string} name */
    const read = (name) => Number(new RegExp(` ${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
    const failed = read("failures") + read("errors");
    const skipped = read("skipped");
    counts.passed += Math.max(0, read("tests") - failed - skipped);
    counts.failed += failed;
    counts.skipped += skipped;
  }
  return counts;
}

/**
 * @param {string} root
 * @param {"all" | "fast" | "ts" | "py"} part
 * @param {readonly string[]} [args] more arguments for a part that is one suite
 * @returns {Suite[]}
 */
export function listSuites(root, part, args = []) {
  const isFast = part === "fast";
  const vitestReport = join(root, ".setup", "vitest.xml");
  const pytestReport = join(root, ".setup", "pytest.xml");
  /** @type {Suite} */
  const vitest = {
    name: "vitest",
    report: vitestReport,
    command: [
      process.execPath,
      join(root, "node_modules", "vitest", "vitest.mjs"),
      "run",
      "--reporter=default",
      "--reporter=junit",
      `--outputFile.junit=${vitestReport}`,
      ...(isFast ? SLOW_TESTS.vitest.map((pattern) => `--exclude=${pattern}`) : args),
    ],
  };
  /** @type {Suite} */
  const pytest = {
    name: "pytest",
    report: pytestReport,
    command: [
      join(root, ".venv", "bin", "python"),
      "-m",
      "pytest",
      "--quiet",
      `--junitxml=${pytestReport}`,
      ...(isFast ? SLOW_TESTS.pytest.map((path) => `--ignore=${path}`) : args),
    ],
  };
  return { all: [vitest, pytest], fast: [vitest, pytest], ts: [vitest], py: [pytest] }[part];
}

/**
 * What a run amounts to. A run that ended badly without a failed test, or that ran no test at all,
 * counts as one failure: it must never look like success.
 *
 * @param {Counts} counts
 * @param {number} exitCode
 * @returns {{ counts: Counts, problem: string | null }}
 */
export function judgeRun(counts, exitCode) {
  const ranNone = counts.passed + counts.failed === 0;
  if (!ranNone && (exitCode === 0 || counts.failed > 0)) return { counts, problem: null };
  const problem = ranNone
    ? "ran no test"
    : `ended with exit code ${exitCode} although no test failed`;
  return { counts: { ...counts, failed: 1 }, problem };
}

/**
 * Runs suites, one after the other, each in full view and each to its end.
 *
 * @param {string} root
 * @param {readonly Suite[]} suites
 */
export async function runSuites(root, suites) {
  mkdirSync(join(root, ".setup"), { recursive: true });
  const total = { ...NOTHING };
  for (const suite of suites) {
    rmSync(suite.report, { force: true });
    const { code } = await run(suite.command, { cwd: root, isShown: true });
    const report = existsSync(suite.report) ? readFileSync(suite.report, "utf8") : "";
    const { counts, problem } = judgeRun(countTests(report), code);
    if (problem !== null) process.stdout.write(`${suite.name} ${problem}\n`);
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
  }
  return total;
}

/**
 * The closing line.
 *
 * @param {Counts} counts
 */
export function formatCounts({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
