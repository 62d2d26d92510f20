/** The folder for compiled programs: a convenience, without which the next start only takes longer. */
import { access, constants } from "node:fs/promises";
import { describeError } from "../errors.js";
import { makeFolders } from "../images/folders.js";
import type { Logger } from "../log.js";

/** Makes the folder; null, with one warning, when there is none to make or it cannot be written. */
export async function prepareCacheFolder(
  folder: string | null,
  log: Logger,
): Promise<string | null> {
  if (folder === null) return null;
  try {
    await makeFolders(folder);
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return folder;
  } catch (error) {
    const remedy = "name a folder that this user can write with --cache_dir, or --cache_dir none";
    log.warn(
      `Compiled programs are not kept for the next start: ${describeError(error)}; ${remedy}`,
    );
    return null;
  }
}
