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
 * @param {readonly import("./caller.mjs").Outcome[]} outcomes
 */
export function findBadEnds(lines, outcomes) {
  /** @type {Map<string | undefined, number>} */
  const counts = new Map();
  for (const { msg, requestId } of lines) {
    if (ENDS.includes(msg)) counts.set(requestId, (counts.get(requestId) ?? 0) + 1);
  }
  const problems = outcomes.flatMap(({ requestId }) => {
    const count = counts.get(requestId ?? undefined) ?? 0;
    return requestId === null || count === 1
      ? []
      : [`${requestId} ended ${count} times in the log`];
  });
  const droppedCount = lines.filter(({ msg }) => msg === LEFT).length;
  const leftCount = outcomes.filter(({ code }) => code === "left").length;
  if (droppedCount > leftCount) {
    problems.push(`${droppedCount} requests were dropped, but only ${leftCount} callers left`);
  }
  return problems;
}
