/** Paths as a user writes them: `~` is the home folder, and the rest is relative to the working folder. */
import { homedir } from "node:os";
import path from "node:path";
import { createConfigError } from "../errors.js";

/** The folder of the user; null for a user who has none, as many have in containers. */
export function findHome(): string | null {
  try {
    return homedir();
  } catch {
    return null;
  }
}

/** @throws AppError `config_invalid` when the path needs a home folder and there is none. */
export function expandPath(
  text: string,
  { home, cwd }: { home: string | null; cwd: string },
): string {
  if (text !== "~" && !text.startsWith("~/")) return path.resolve(cwd, text);
  if (home !== null) return path.join(home, text.slice(1));
  throw createConfigError([`${text} is below the home folder, and this user has none`]);
}
