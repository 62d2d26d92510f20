import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { readFileSync, readlinkSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { z } from "zod";

const PREFIX = "dalle-run-";
const OWNER_FILE = "owner.json";
/** A folder without an owner file is being made, or its maker died while making it. */
const UNOWNED_LIMIT_MS = 60_000;

const ownerSchema = z.object({
  pid: z.int().positive(),
  startTime: z.string().nullable(),
  pidNamespace: z.string().nullable(),
});

/** A folder that only this user can enter, for the socket of one server process. */
export interface RunFolder {
  readonly path: string;
  remove(): Promise<void>;
  /** For the last moment of a process, which waits for no promise. */
  removeNow(): void;
}

/**
 * Creates the folder (mode 0700) and writes down whose it is, after it has removed the folders of
 * servers that ended without cleaning up.
 */
export async function createRunFolder(parent: string = os.tmpdir()): Promise<RunFolder> {
  await sweepRunFolders(parent);
  const folder = await mkdtemp(path.join(parent, PREFIX));
  const { pid } = process;
  const owner = { pid, startTime: readStartTime(pid), pidNamespace: readPidNamespace() };
  await writeFile(path.join(folder, OWNER_FILE), JSON.stringify(owner), { mode: 0o600 });
  return {
    path: folder,
    remove: () => rm(folder, { recursive: true, force: true }),
    removeNow: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Removes the run folders of this user whose server is gone; returns how many. */
export async function sweepRunFolders(parent: string): Promise<number> {
  const entries = await readdir(parent, { withFileTypes: true });
  const folders = entries
    .filter((entry) => entry.isDirectory() && entry.name.startsWith(PREFIX))
    .map((entry) => path.join(parent, entry.name));
  let removedCount = 0;
  for (const folder of folders) {
    if (!(await isStale(folder))) continue;
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

/** When a process started, in the kernel's clock ticks; a pid that is used again differs in it. */
function readStartTime(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the name in parentheses and may hold anything; the 22nd is the start time.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[19] ?? null;
  } catch {
    return null;
  }
}

function readPidNamespace(): string | null {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return null;
  }
}
