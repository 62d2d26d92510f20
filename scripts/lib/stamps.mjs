/**
 * Stamps: one small file for each step of the set-up, holding the hash of what the step was made from. A step is done
 * while its stamp equals the hash of today's inputs; it is removed before the step starts and written after it ends,
 * so an interrupted step leaves none.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";

/**
 * All files below a folder, sorted, as absolute paths; a file stands for itself and a missing path for nothing.
 *
 * @param {string} path
 * @returns {string[]}
 */
function listFiles(path) {
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [path];
  const names = readdirSync(path).sort();
  return names.flatMap((name) => listFiles(join(path, name)));
}

/**
 * The hash of a step's inputs: the names and contents of files below `root`, and plain words such as a version.
 *
 * @param {string} root
 * @param {readonly string[]} paths files or folders, relative to root
 * @param {readonly string[]} words
 * @returns {string} hexadecimal SHA-256
 */
export function hashInputs(root, paths, words) {
  const hash = createHash("sha256");
  for (const word of words) hash.update(`word\0${word}\0`);
  for (const file of paths.flatMap((path) => listFiles(join(root, path)))) {
    const content = readFileSync(file);
    hash.update(`file\0${relative(root, file)}\0${String(content.length)}\0`).update(content);
  }
  return hash.digest("hex");
}

/**
 * @param {string} file the stamp
 * @returns {string | null} the hash it holds, or null when there is none
 */
export function readStamp(file) {
  return existsSync(file) ? readFileSync(file, "utf8").trim() : null;
}

/**
 * Writes a stamp in one move: a reader sees the old one or the new one, never half of it.
 *
 * @param {string} file
 * @param {string} hash
 */
export function writeStamp(file, hash) {
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.${String(process.pid)}`;
  writeFileSync(draft, `${hash}\n`);
  renameSync(draft, file);
}
