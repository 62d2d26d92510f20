/**
 * npm run check: format, lint with the import rules, types, both suites; all of them run, whatever fails.
 * Ends with "N passed, N failed", where each step before the suites counts as one.
 */
import { join } from "node:path";

import { formatSeconds, run, tailOf } from "./lib/run.mjs";
import { formatCounts, runSuites } from "./lib/suites.mjs";
import { packageRoot, setUpOrExit } from "./setup.mjs";

/** @param {string[]} path */
function nodeTool(...path) {
  return /** @type {const} */ ([process.execPath, join(packageRoot, "node_modules", ...path)]);
}

const ruff = join(packageRoot, ".venv", "bin", "ruff");

/** @type {readonly (readonly [name: string, command: readonly [string, ...string[]]])[]} */
const STEPS = [
  ["format (prettier)", [...nodeTool("prettier", "bin", "prettier.cjs"), "--check", "."]],
  ["format (ruff)", [ruff, "format", "--check", "."]],
  ["lint and import rules (eslint)", [...nodeTool("eslint", "bin", "eslint.js"), "."]],
  ["lint (ruff)", [ruff, "check", "."]],
  ["types (tsc)", nodeTool("typescript", "bin", "tsc")],
  ["types (pyright)", nodeTool("pyright", "index.js")],
];

/** @returns {Promise<number>} how many steps failed */
async function runSteps() {
  let failedCount = 0;
  for (const [name, command] of STEPS) {
    const started = performance.now();
    const { code, output } = await run(command, { cwd: packageRoot });
    const elapsed = formatSeconds(performance.now() - started);
    process.stdout.write(`${code === 0 ? "ok  " : "FAIL"} ${name} (${elapsed})\n`);
    if (code !== 0) {
      failedCount += 1;
      process.stdout.write(`${tailOf(output)}\n\n`);
    }
  }
  return failedCount;
}

await setUpOrExit({ forTests: true });
const failedStepCount = await runSteps();
const counts = await runSuites(packageRoot);
counts.passed += STEPS.length - failedStepCount;
counts.failed += failedStepCount;
process.stdout.write(`\n${formatCounts(counts)}\n`);
process.exitCode = counts.failed === 0 ? 0 : 1;
