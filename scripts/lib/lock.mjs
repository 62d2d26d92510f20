/** One set-up at a time: a lock file with the pid of the process that runs it. */
import { randomUUID } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

const POLL_MS = 200;

/**
 * @param {unknown} error
 * @param {string} code
 */
function hasCode(error, code) {
  return error instanceof Error && "code" in error && error.code === code;
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasCode(error, "EPERM");
  }
}

/**
 * @param {string} file
 * @returns {number | null} the process that holds the lock; null when it is free by now
 */
function readHolder(file) {
  try {
    return Number(readFileSync(file, "utf8"));
  } catch (error) {
    if (hasCode(error, "ENOENT")) return null;
    throw error;
  }
}

/**
 * Makes the lock with its content in one step: a lock that is still empty would look abandoned.
 *
 * @param {string} file
 * @returns {boolean} false when another process has it
 */
function makeLock(file) {
  const draft = `${file}.${process.pid}-${randomUUID()}`;
  writeFileSync(draft, String(process.pid));
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  } finally {
    rmSync(draft);
  }
}

/**
 * Takes the lock, waiting while another living process holds it. A lock whose holder is gone is taken over.
 *
 * @param {string} file
 * @param {(holder: number) => void} onWait called once, when another process has the lock
 * @returns {Promise<() => void>} what gives the lock back
 */
export async function takeLock(file, onWait) {
  mkdirSync(dirname(file), { recursive: true });
  let hasReported = false;
  for (;;) {
    if (makeLock(file)) {
      return () => {
        rmSync(file, { force: true });
      };
    }
    const holder = readHolder(file);
    if (holder !== null && holder > 0 && isAlive(holder)) {
      if (!hasReported) {
        onWait(holder);
        hasReported = true;
      }
      await wait(POLL_MS);
    } else if (holder !== null) {
      rmSync(file, { force: true });
    }
  }
}
