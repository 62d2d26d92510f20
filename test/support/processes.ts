import { readdirSync, readFileSync } from "node:fs";

/** Every process that `pid` has started, and those have started in turn (Linux). */
export function listDescendants(pid: number): number[] {
  const parents = new Map(
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((name) => [Number(name), readParent(Number(name))] as const),
  );
  const descendants: number[] = [];
  collect(pid, parents, descendants);
  return descendants;
}

function collect(pid: number, parents: ReadonlyMap<number, number>, found: number[]): void {
  for (const [child, parent] of parents) {
    if (parent !== pid) continue;
    found.push(child);
    collect(child, parents, found);
  }
}

/** Whether a process runs; one that has ended and waits to be collected does not. */
export function isRunning(pid: number): boolean {
  const [state] = readStat(pid);
  return state !== undefined && state !== "Z" && state !== "X";
}

function readParent(pid: number): number {
  return Number(readStat(pid)[1]);
}

/** The fields of /proc/PID/stat after the name, which may hold anything. */
function readStat(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}
