/**
 * npm test, npm run test:fast, test:ts and test:py: sets up what is missing, runs both suites or a part of them, ends
 * with "N passed, N failed".
 */
import { formatCounts, listSuites, runSuites } from "./lib/suites.mjs";
import { packageRoot, setUpOrExit } from "./setup.mjs";

const [word, ...args] = process.argv.slice(2);
const part = word === "fast" || word === "ts" || word === "py" ? word : "all";
if (args.length > 0 && (part === "all" || part === "fast")) {
  process.stderr.write(
    `Two suites run here, and "${args.join(" ")}" can be meant for one of them only. Use\n` +
      "  npm run test:ts -- ARGUMENTS   those of vitest, such as test/jobs/queue.test.ts\n" +
      "  npm run test:py -- ARGUMENTS   those of pytest, such as test/python/wire\n",
  );
  process.exit(2);
}
await setUpOrExit({ forTests: true });
const counts = await runSuites(packageRoot, listSuites(packageRoot, part, args));
if (part === "fast") process.stdout.write("\nThe fast part only: npm test runs everything.");
process.stdout.write(`\n${formatCounts(counts)}\n`);
process.exitCode = counts.failed === 0 ? 0 : 1;
