/** Reads the log of a server for what must not be in it. */

/** One of these for each request, when it is over. */
const LEFT = "The caller left";
const ENDS = ["Request answered", LEFT];
const BAD_CODES = ["internal_error", "sidecar_lost", "task_returned"];

/** @typedef {import("../harness/built-server.mjs").LogLine} LogLine */

/**
 * What is in the log and should not be.
 *
 * @param {readonly LogLine[]} lines
 */
export function findBadLines(lines) {
  // That a sidecar is given up is the right answer to some faults.
  const bad = lines.filter(
    ({ level, code, event }) =>
      (level === "fatal" && event !== "gave_up") ||
      (code !== undefined && BAD_CODES.includes(code)),
  );
  return bad.map((line) => `in the log: ${JSON.stringify(line).slice(0, 1000)}`);
}

/**
 * What is wrong with how the requests ended.
 *
 * @param {readonly LogLine[]} lines
 * @param {readonly string[]} requestIds those that were answered
 * @param {number} leftCount how many callers went away
 */
export function findBadEnds(lines, requestIds, leftCount) {
  /** @type {Map<string, number>} */
  const ends = new Map();
  for (const { msg, requestId } of lines) {
    if (requestId === undefined || !ENDS.includes(msg)) continue;
    ends.set(requestId, (ends.get(requestId) ?? 0) + 1);
  }
  const droppedCount = lines.filter(({ msg }) => msg === LEFT).length;
  const unequal = requestIds.filter((id) => ends.get(id) !== 1);
  return [
    ...(droppedCount > leftCount
      ? [`${droppedCount} requests were dropped, but only ${leftCount} callers left`]
      : []),
    ...unequal.map((id) => `${id} ended ${ends.get(id) ?? 0} times in the log`),
  ];
}
