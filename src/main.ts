#!/usr/bin/env node
/** The program: which command was asked for, and the exit code. */
import { fileURLToPath } from "node:url";
import { formatHelp } from "./commands/help.js";
import { formatModels } from "./commands/models.js";
import { pull } from "./commands/pull.js";
import { serve } from "./commands/serve.js";
import { readCommand, readSurroundings, type Command } from "./config/config.js";
import { hasCode } from "./errors.js";

/** The folder of package.json: one above src/ and one above dist/. */
const PACKAGE_ROOT = fileURLToPath(new URL("..", import.meta.url));

try {
  await run(readCommand(readSurroundings(PACKAGE_ROOT)));
} catch (error) {
  if (!hasCode(error, "config_invalid") && !hasCode(error, "listen_failed")) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = error.code === "config_invalid" ? 2 : 1;
}

async function run(command: Command): Promise<void> {
  switch (command.action) {
    case "serve":
      await serve(command.config);
      return;
    case "pull":
      process.exitCode = await pull(command.config);
      return;
    case "models":
      process.stdout.write(formatModels(command.places, command.slots));
      return;
    case "help":
    case "help_all":
      process.stdout.write(formatHelp(command.version, command.action === "help_all"));
      return;
    case "version":
      process.stdout.write(`${command.version}\n`);
  }
}
