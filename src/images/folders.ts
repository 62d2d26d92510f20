/** Makes folders where `mkdir` of Node would never return. */
import { access, mkdir } from "node:fs/promises";
import path from "node:path";

/**
 * Creates a folder and those above it that are missing. `mkdir` with `recursive` never ends where the
 * system says of a new folder in an existing one that there is no such place, as /proc does.
 */
export async function makeFolders(folder: string): Promise<void> {
  const isThere = await access(folder).then(
    () => true,
    () => false,
  );
  if (isThere) return;
  await makeFolders(path.dirname(folder));
  await mkdir(folder).catch((error: unknown) => {
    // Another request has made it meanwhile.
    if (!hasErrorCode(error, "EEXIST")) throw error;
  });
}

export function hasErrorCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
