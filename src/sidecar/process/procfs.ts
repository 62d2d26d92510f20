import { readFileSync, readlinkSync } from "node:fs";

/** What the kernel reports about a process. */
interface ProcessFacts {
  /** When it started, in the kernel's clock ticks; a pid that is used again differs in it. */
  readonly startTime: string;
  readonly groupId: number;
  /** Whether it has ended and only waits to be collected. */
  readonly isZombie: boolean;
}

/** Null when there is no such process, or the system has no /proc. */
export function readProcess(pid: number): ProcessFacts | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the name in parentheses and may hold anything; the third is the state.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const [state, , groupId] = fields;
    const startTime = fields[19];
    if (startTime === undefined) return null;
    return { startTime, groupId: Number(groupId), isZombie: state === "Z" || state === "X" };
  } catch {
    return null;
  }
}

/** When a process started that still runs; null when there is none, or the system has no /proc. */
export function readStartTime(pid: number): string | null {
  const facts = readProcess(pid);
  return facts === null || facts.isZombie ? null : facts.startTime;
}

/** The arguments of a process, its program first; empty when it cannot be asked. */
export function readArguments(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch {
    return [];
  }
}

/** Pids mean the same only within one of these. */
export function readPidNamespace(): string | null {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return null;
  }
}
