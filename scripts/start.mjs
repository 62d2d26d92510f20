/**
 * npm start: sets up what is missing, then runs the server in this very process, so that a signal
 * sent to it reaches the server itself. Flags after "--" are the server's: npm start -- --port 9000
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { packageRoot, setUpOrExit } from "./setup.mjs";

await setUpOrExit({ forTests: false });

const entry = join(packageRoot, "dist", "main.js");
// What the server sees is what `node dist/main.js FLAGS` would show it.
process.argv[1] = entry;
process.setSourceMapsEnabled(true);
await import(pathToFileURL(entry).href);
