import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { waitMs } from "../wait.js";
import { readArguments, readProcess, readStartTime } from "./procfs.js";

const RECORD_FILE = "sidecar.json";
/** How long a killed process may take to be gone; then it hangs in the kernel, and waiting is no use. */
const GONE_LIMIT_MS = 2_000;
const GONE_LOOK_MS = 10;

const recordSchema = z.object({
  pid: z.int().positive(),
  startTime: z.string(),
  /** The end of its command line, which no other process has: it names the folder and the spawn. */
  args: z.array(z.string()).min(1),
});
type Record = z.infer<typeof recordSchema>;

/**
 * Writes down in the run folder which process the sidecar is, for the server that may have to end it
 * after this one was killed. Without /proc nothing is written, and nothing will be ended.
 */
export function recordSidecar(folder: string, pid: number, args: readonly string[]): void {
  const startTime = readStartTime(pid);
  if (startTime === null) return;
  const record: Record = { pid, startTime, args: [...args] };
  try {
    writeFileSync(path.join(folder, RECORD_FILE), JSON.stringify(record), { mode: 0o600 });
  } catch {
    // A full disk: the kernel and the end of its input still end the sidecar with this process.
  }
}

/**
 * Ends the sidecar that a dead server recorded in its folder, if it still runs: the pid, the start
 * time and the command line have to be those of the record. Anything else is left alone.
 *
 * @returns its pid when it had to be ended, else null.
 */
export async function endOrphan(folder: string): Promise<number | null> {
  const record = readRecord(folder);
  if (record === null || !isRunning(record)) return null;
  const isLeader = readProcess(record.pid)?.groupId === record.pid;
  try {
    process.kill(isLeader ? -record.pid : record.pid, "SIGKILL");
  } catch {
    return null;
  }
  const limitMs = performance.now() + GONE_LIMIT_MS;
  // Its device memory is free only when it is gone, and the next sidecar wants it.
  while (isRunning(record) && performance.now() < limitMs) await waitMs(GONE_LOOK_MS);
  return record.pid;
}

function readRecord(folder: string): Record | null {
  try {
    const text = readFileSync(path.join(folder, RECORD_FILE), "utf8");
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

function isRunning({ pid, startTime, args }: Record): boolean {
  if (readStartTime(pid) !== startTime) return false;
  const end = readArguments(pid).slice(-args.length);
  return end.length === args.length && end.every((arg, index) => arg === args[index]);
}
