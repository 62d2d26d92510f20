import { readFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";

const packageSchema = z.object({ version: z.string().min(1) });

/** Reads the version of this server from the `package.json` in `packageRoot`. */
export function readVersion(packageRoot: string): string {
  const text = readFileSync(path.join(packageRoot, "package.json"), "utf8");
  return packageSchema.parse(JSON.parse(text)).version;
}
