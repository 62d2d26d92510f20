import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { z } from "zod";
import { endOrphan } from "./orphan.js";
import { readPidNamespace, readStartTime } from "./procfs.js";

const PREFIX = "dalle-run-";
const OWNER_FILE = "owner.json";
/** A folder without an owner file is being made, or its maker died while making it. */
const UNOWNED_LIMIT_MS = 60_000;

const ownerSchema = z.object({
  pid: z.int().positive(),
  startTime: z.string().nullable(),
  pidNamespace: z.string().nullable(),
});

/** Receives the pid of an orphaned sidecar that was ended. */
type EndedListener = (pid: number) => void;

/**
 * Creates a folder that only this user can enter, for the socket of one server process, and writes
 * down whose it is, after it has removed the folders of servers that ended without cleaning up.
 */
export async function createRunFolder(
  parent: string = os.tmpdir(),
  onEnded: EndedListener = () => undefined,
): Promise<string> {
  await sweepRunFolders(parent, onEnded);
  const folder = await mkdtemp(path.join(parent, PREFIX));
  const { pid } = process;
  const startTime = readStartTime(pid);
  const owner = { pid, startTime, pidNamespace: readPidNamespace() };
  await writeFile(path.join(folder, OWNER_FILE), JSON.stringify(owner), { mode: 0o600 });
  return folder;
}

/**
 * Removes the run folders of this user whose server is gone, and ends the sidecars that they record;
 * returns how many folders.
 */
export async function sweepRunFolders(
  parent: string,
  onEnded: EndedListener = () => undefined,
): Promise<number> {
  const entries = await readdir(parent, { withFileTypes: true });
  const folders = entries
    .filter((entry) => entry.isDirectory() && entry.name.startsWith(PREFIX))
    .map((entry) => path.join(parent, entry.name));
  let removedCount = 0;
  for (const folder of folders) {
    if (!(await isStale(folder))) continue;
    const endedPid = await endOrphan(folder);
    if (endedPid !== null) onEnded(endedPid);
    await rm(folder, { recursive: true, force: true });
    removedCount += 1;
  }
  return removedCount;
}

async function isStale(folder: string): Promise<boolean> {
  try {
    const { uid, mtimeMs, mode } = await stat(folder);
    if (uid !== process.getuid?.() || (mode & 0o777) !== 0o700) return false;
    const owner = await readOwner(folder);
    if (owner === null) return (await isBare(folder)) && Date.now() - mtimeMs > UNOWNED_LIMIT_MS;
    // A server in another container has pids of its own; nothing can be said about it from here.
    if (owner.pidNamespace !== readPidNamespace()) return false;
    return !isAlive(owner.pid) || readStartTime(owner.pid) !== owner.startTime;
  } catch {
    // It went away meanwhile: another server swept it.
    return false;
  }
}

async function readOwner(folder: string): Promise<z.infer<typeof ownerSchema> | null> {
  try {
    const text = await readFile(path.join(folder, OWNER_FILE), "utf8");
    return ownerSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** Whether nothing is in the folder that a run folder would not have: others use this prefix too. */
async function isBare(folder: string): Promise<boolean> {
  return (await readdir(folder)).every((name) => name === OWNER_FILE);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
