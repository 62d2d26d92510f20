/** Reads the log of a server for what must not be in it. */

/** One of these for each request, when it is over. */
const ENDS = ["Request answered", "The caller left"];
const BAD_CODES = ["internal_error", "sidecar_lost", "task_returned"];

/** @typedef {import("./server.mjs").LogLine} LogLine */

export class LogWatch {
  /** @type {Map<string, number>} */
  #ends = new Map();
  /** @type {string[]} */
  #problems = [];

  /** @param {LogLine} line */
  add(line) {
    const { level, msg, requestId, code } = line;
    if (level === "fatal" || (code !== undefined && BAD_CODES.includes(code))) {
      this.#problems.push(`in the log: ${JSON.stringify(line).slice(0, 1000)}`);
    }
    if (requestId !== undefined && ENDS.includes(msg)) {
      this.#ends.set(requestId, (this.#ends.get(requestId) ?? 0) + 1);
    }
  }

  /**
   * What is wrong with how these requests ended.
   *
   * @param {readonly string[]} requestIds
   */
  findProblems(requestIds) {
    const unequal = requestIds.filter((id) => this.#ends.get(id) !== 1);
    return [
      ...this.#problems,
      ...unequal.map((id) => `${id} ended ${this.#ends.get(id) ?? 0} times in the log`),
    ];
  }
}
