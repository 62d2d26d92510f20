/** The formatters, linters and type checkers: npm run check asks them all, npm run fix lets them mend what they can. */
import { join } from "node:path";

import { formatSeconds, run, tailOf } from "./run.mjs";

/**
 * @typedef {object} Tool
 * @property {string} name
 * @property {readonly [string, ...string[]]} command
 * @property {readonly string[]} check arguments that only report
 * @property {readonly string[]} [fix] arguments that change files, where it can
 */

/**
 * @param {string} root
 * @returns {Tool[]} the slow ones first, so that two at a time end soon; each linter before the formatter of its
 *   language, because what it changes may have to be formatted
 */
function listTools(root) {
  /** @param {string[]} path */
  const node = (...path) =>
    /** @type {const} */ ([process.execPath, join(root, "node_modules", ...path)]);
  const eslint = node("eslint", "bin", "eslint.js");
  const prettier = node("prettier", "bin", "prettier.cjs");
  const ruff = join(root, ".venv", "bin", "ruff");
  return [
    { name: "types (pyright)", command: node("pyright", "index.js"), check: [] },
    { name: "lint and import rules (eslint)", command: eslint, check: ["."], fix: ["--fix", "."] },
    { name: "types (tsc)", command: node("typescript", "bin", "tsc"), check: [] },
    { name: "lint (ruff)", command: [ruff, "check"], check: ["."], fix: ["--fix", "."] },
    {
      name: "format (prettier)",
      command: prettier,
      check: ["--check", "."],
      fix: ["--write", "."],
    },
    { name: "format (ruff)", command: [ruff, "format"], check: ["--check", "."], fix: ["."] },
  ];
}

/**
 * Runs all tools, whatever fails, with one line for each and the output of those that fail.
 *
 * @param {string} root
 * @param {"check" | "fix"} purpose
 */
export async function runTools(root, purpose) {
  const waiting = listTools(root);
  const counts = { passed: 0, failed: 0 };
  const work = async () => {
    for (let tool = waiting.shift(); tool !== undefined; tool = waiting.shift()) {
      const { name, command, [purpose]: args } = tool;
      if (args === undefined) continue;
      const started = performance.now();
      const { code, output } = await run([...command, ...args], { cwd: root });
      const elapsed = formatSeconds(performance.now() - started);
      const verdict = code === 0 ? "ok  " : "FAIL";
      const shown = code === 0 ? "" : `${tailOf(output)}\n\n`;
      process.stdout.write(`${verdict} ${name} (${elapsed})\n${shown}`);
      counts[code === 0 ? "passed" : "failed"] += 1;
    }
  };
  // Checks are two at a time; tools that change files must not do it to the same file at once.
  await Promise.all(purpose === "check" ? [work(), work()] : [work()]);
  return counts;
}
