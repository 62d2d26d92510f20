/** Where the programs of this repository are. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The built server. */
export const MAIN = join(ROOT, "dist", "main.js");
export const PYTHON = join(ROOT, ".venv", "bin", "python");
export const FIXTURES = join(ROOT, "test", "fixtures");
export const FAKE_SIDECAR = join(FIXTURES, "fake_sidecar.py");
