/** npm test: sets up what is missing, runs both suites, ends with "N passed, N failed". */
import { packageRoot, setUpOrExit } from "./setup.mjs";
import { formatCounts, runSuites } from "./lib/suites.mjs";

await setUpOrExit({ forTests: true });
const counts = await runSuites(packageRoot);
process.stdout.write(`\n${formatCounts(counts)}\n`);
process.exitCode = counts.failed === 0 ? 0 : 1;
