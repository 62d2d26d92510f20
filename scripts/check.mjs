/**
 * npm run check: formatters, linters with the import rules, type checkers, both suites; all of them run, whatever
 * fails. Ends with "N passed, N failed", where each tool before the suites counts as one.
 */
import { formatCounts, listSuites, runSuites } from "./lib/suites.mjs";
import { runTools } from "./lib/tools.mjs";
import { packageRoot, setUpOrExit } from "./setup.mjs";

await setUpOrExit({ forTests: true });
const tools = await runTools(packageRoot, "check");
const counts = await runSuites(packageRoot, listSuites(packageRoot, "all"));
counts.passed += tools.passed;
counts.failed += tools.failed;
process.stdout.write(`\n${formatCounts(counts)}\n`);
process.exitCode = counts.failed === 0 ? 0 : 1;
