/** Reads the log of a server for what must not be in it. */

/** One of these for each request, when it is over. */
const LEFT = "The caller left";
const ENDS = ["Request answered", LEFT];
const BAD_CODES = ["internal_error", "sidecar_lost", "task_returned"];

/** @typedef {import("./server.mjs").LogLine} LogLine */

export class LogWatch {
  /** @type {Map<string, number>} */
  #ends = new Map();
  /** @type {string[]} */
  #problems = [];
  #leftCount = 0;

  /** @param {LogLine} line */
  add(line) {
    const { level, msg, requestId, code, event } = line;
    // That a sidecar is given up is the right answer to some faults.
    const isFatal = level === "fatal" && event !== "gave_up";
    if (isFatal || (code !== undefined && BAD_CODES.includes(code))) {
      this.#problems.push(`in the log: ${JSON.stringify(line).slice(0, 1000)}`);
    }
    if (msg === LEFT) this.#leftCount += 1;
    if (requestId !== undefined && ENDS.includes(msg)) {
      this.#ends.set(requestId, (this.#ends.get(requestId) ?? 0) + 1);
    }
  }

  /** What should not be in the log and is. */
  get problems() {
    return this.#problems;
  }

  /**
   * What is wrong with how these requests ended.
   *
   * @param {readonly string[]} requestIds those that were answered
   * @param {number} leftCount how many callers went away
   */
  findProblems(requestIds, leftCount) {
    const unequal = requestIds.filter((id) => this.#ends.get(id) !== 1);
    return [
      ...this.#problems,
      ...(this.#leftCount > leftCount
        ? [`${this.#leftCount} requests were dropped, but only ${leftCount} callers left`]
        : []),
      ...unequal.map((id) => `${id} ended ${this.#ends.get(id) ?? 0} times in the log`),
    ];
  }
}
