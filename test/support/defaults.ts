/** The one place of tests for default settings: those of the table of flags. */
import { fileURLToPath } from "node:url";
import { readCommand, type Config } from "../../src/config/config.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The configuration that some flags give in this package, whatever this machine has of models. */
export function readConfig(...flags: readonly string[]): Config {
  const argv = ["--model_version", "Nano", ...flags];
  const command = readCommand({ argv, env: {}, cwd: ROOT, home: ROOT, packageRoot: ROOT });
  if (command.action !== "serve") throw new Error("expected a configuration");
  return command.config;
}

export const DEFAULT_SERVICE = readConfig().service;
export const DEFAULT_LIMITS = readConfig().sidecar.limits;
