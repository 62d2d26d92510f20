/** Saves images to disk, each whole or not at all. */
import { mkdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { ImageFormat } from "./encode.js";
import { hasErrorCode, makeFolders } from "./folders.js";
import { createSafeName, formatStamp } from "./names.js";

export interface SaveRequest {
  readonly prompt: string;
  readonly format: ImageFormat;
  /** Encoded images in order; image i becomes `{i}.{format}`. */
  readonly images: readonly Uint8Array[];
}

export interface StoreReport {
  /** Images that are made and not on the disk yet. */
  readonly waitingCount: number;
  readonly savedCount: number;
  readonly failedCount: number;
}

/** Saves the images of each request in a folder of their own: `{date}_{time}_{prompt}`. */
export class ImageStore {
  readonly #root: string;
  readonly #now: () => Date;
  readonly #counts = { waitingCount: 0, savedCount: 0, failedCount: 0 };

  constructor(root: string, now: () => Date = () => new Date()) {
    this.#root = root;
    this.#now = now;
  }

  /** How many images wait, were saved, and could not be. */
  report(): StoreReport {
    return { ...this.#counts };
  }

  /**
   * Saves the images and returns their folder. A file appears under its name only when it is whole.
   *
   * @throws the error of the file system; images written before it stay.
   */
  async save(request: SaveRequest): Promise<string> {
    const counts = this.#counts;
    let savedCount = 0;
    counts.waitingCount += request.images.length;
    try {
      const folder = await this.#createFolder(request.prompt);
      try {
        for (const [index, bytes] of request.images.entries()) {
          await writeWhole(path.join(folder, `${index}.${request.format}`), bytes);
          savedCount += 1;
        }
      } finally {
        if (savedCount === 0) await rmdir(folder).catch(() => undefined);
      }
      return folder;
    } finally {
      counts.waitingCount -= request.images.length;
      counts.savedCount += savedCount;
      counts.failedCount += request.images.length - savedCount;
    }
  }

  /** Creates a folder that did not exist; equal prompts in one second get `_2`, `_3`, ... */
  async #createFolder(prompt: string): Promise<string> {
    await makeFolders(this.#root);
    const name = `${formatStamp(this.#now())}_${createSafeName(prompt)}`;
    for (let copy = 1; ; copy += 1) {
      const folder = path.join(this.#root, copy === 1 ? name : `${name}_${copy}`);
      try {
        await mkdir(folder);
        return folder;
      } catch (error) {
        if (!hasErrorCode(error, "EEXIST")) throw error;
      }
    }
  }
}

async function writeWhole(file: string, bytes: Uint8Array): Promise<void> {
  const unfinished = `${file}.unfinished`;
  try {
    await writeFile(unfinished, bytes, { flag: "wx", flush: true });
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => undefined);
    throw error;
  }
}
