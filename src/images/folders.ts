/** Makes folders where `mkdir` of Node would never return. */
import { mkdir } from "node:fs/promises";
import path from "node:path";

/**
 * Creates a folder and those above it that are missing. `mkdir` with `recursive` never ends where the
 * system says of a new folder in an existing one that there is no such place, as /proc does.
 */
export async function makeFolders(folder: string): Promise<void> {
  try {
    await makeFolder(folder);
  } catch (error) {
    if (!hasErrorCode(error, "ENOENT") || path.dirname(folder) === folder) throw error;
    await makeFolders(path.dirname(folder));
    await makeFolder(folder);
  }
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    if (!hasErrorCode(error, "EEXIST")) throw error;
  }
}

export function hasErrorCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
