/** The sidecar program of the tests, and the orders that a running one obeys: see test/fixtures/triggers.py. */
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FAKE_SIDECAR } from "./paths.mjs";
import { readArguments, readStartTime } from "./procfs.mjs";
import { START_LIMIT_MS, until } from "./until.mjs";

/**
 * The fake sidecar, for `BuiltServer.start`.
 *
 * @param {string} [options] of fake_sidecar.py, between spaces; `{folder}` is the folder of the server
 * @returns {readonly string[]}
 */
export function fakeSidecar(options = "") {
  const own = options.split(" ").filter((one) => one !== "");
  return [FAKE_SIDECAR, "--orders", "{folder}/orders", ...own];
}

/** @typedef {{ untilObeyed: () => Promise<void> }} Order obeyed: the fault is about to be done */

/** The folder in which the sidecars of one server find their orders and note their processes. */
export class Orders {
  #folder;

  /** @param {string} folder */
  constructor(folder) {
    this.#folder = folder;
    mkdirSync(folder);
  }

  /**
   * Orders a fault of a sidecar that runs.
   *
   * @param {number} pid
   * @param {string} fault a name in test/fixtures/faults.py
   * @returns {Order}
   */
  give(pid, fault) {
    const order = this.#write(String(pid), fault);
    process.kill(pid, "SIGUSR2");
    return order;
  }

  /**
   * Orders a fault of the next spawn that gets to a moment.
   *
   * @param {string} moment a name in test/fixtures/triggers.py
   * @param {string} fault
   * @returns {Order}
   */
  giveAt(moment, fault) {
    return this.#write(moment, fault);
  }

  /** Every process that was ever a sidecar of this server, or was started by one. */
  listAll() {
    const names = readdirSync(this.#folder);
    const pids = names.flatMap((name) => /^(?:spawn|grandchild)-(\d+)$/.exec(name)?.[1] ?? []);
    return pids.map(Number);
  }

  /** Those that still run. */
  listRunning() {
    return this.listAll().filter((pid) => this.isOwn(pid));
  }

  /**
   * Whether a process runs and is one of these; the number may belong to another one by now.
   *
   * @param {number} pid
   */
  isOwn(pid) {
    return readArguments(pid).includes(this.#folder) && readStartTime(pid) !== null;
  }

  /** Ends all of them at once. */
  killAll() {
    for (const pid of this.listRunning()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended meanwhile.
      }
    }
  }

  /**
   * @param {string} name
   * @param {string} fault
   * @returns {Order}
   */
  #write(name, fault) {
    const file = join(this.#folder, name);
    writeFileSync(`${file}.new`, fault);
    // A spawn may look for it at this very moment: it sees the whole order, or none.
    renameSync(`${file}.new`, file);
    return {
      untilObeyed: async () => {
        const isGone = () => (existsSync(file) ? null : true);
        await until(isGone, START_LIMIT_MS, () => `the order ${name} ${fault} is not obeyed`);
      },
    };
  }
}
