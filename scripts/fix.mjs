/** npm run fix: lets the linters and formatters of npm run check change what they can; what is left is shown. */
import { runTools } from "./lib/tools.mjs";
import { packageRoot, setUpOrExit } from "./setup.mjs";

await setUpOrExit({ forTests: true });
const { failed } = await runTools(packageRoot, "fix");
process.exitCode = failed === 0 ? 0 : 1;
