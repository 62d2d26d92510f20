/** What the kernel says of a process: the reader of the built server, for programs that run without vitest (Linux). */
import { readFileSync } from "node:fs";

/** @type {unknown} */
const built = await import(new URL("../../dist/sidecar/process/procfs.js", import.meta.url).href);
export const { readArguments, readProcess, readStartTime } =
  /** @type {typeof import("../../src/sidecar/process/procfs.js")} */ (built);

/**
 * Resident memory of a process.
 *
 * @param {number} pid
 * @returns {number} bytes
 */
export function readResidentBytes(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}
