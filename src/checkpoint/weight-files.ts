/**
 * Which files hold the weights of a folder: the twin of sidecar/checkpoint/weight_files.py, which says why. Both
 * are held to test/fixtures/weight-files.json.
 */
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { z } from "zod";

export const WEIGHTS_FILE = "flax_model.msgpack";
export const INDEX_FILE = "flax_model.msgpack.index.json";
export const MAX_INDEX_BYTES = 2 ** 24;
export const MAX_NAME_LENGTH = 256;

const indexSchema = z.object({
  weight_map: z
    .record(
      z.string().max(MAX_NAME_LENGTH),
      z.string().regex(/^flax_model-[0-9]{5}-of-[0-9]{5}\.msgpack$/),
    )
    .refine((places) => Object.keys(places).length > 0),
});

/**
 * The files with the weights of a folder, in the order of their names: one, or the shards that an
 * index names. Null unless all of them are there.
 */
export function findWeightFiles(folder: string): readonly string[] | null {
  const weights = path.join(folder, WEIGHTS_FILE);
  if (isFile(weights)) return [weights];
  const names = readIndex(path.join(folder, INDEX_FILE));
  const files = names?.map((name) => path.join(folder, name)) ?? [];
  return files.length > 0 && files.every(isFile) ? files : null;
}

/** The shards that an index names; null when there is none, or not one that the sidecar would read. */
function readIndex(file: string): readonly string[] | null {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats?.isFile() !== true || stats.size > MAX_INDEX_BYTES) return null;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const index = indexSchema.parse(JSON.parse(text.decode(readFileSync(file))));
    return [...new Set(Object.values(index.weight_map))].sort();
  } catch {
    return null;
  }
}

function isFile(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFile() === true;
}
