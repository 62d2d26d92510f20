/** Loaded into the server by --import: SIGUSR2 collects its garbage, so that its memory can be compared. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
/** @type {unknown} */
const exposed = runInNewContext("gc");
const collect = /** @type {() => void} */ (exposed);

process.on("SIGUSR2", () => {
  for (let pass = 0; pass < 3; pass += 1) collect();
});
