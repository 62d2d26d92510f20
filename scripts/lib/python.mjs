/** Finds a Python for the sidecar, or says in one sentence what is missing. */
import { spawnSync } from "node:child_process";

const NEEDED_MINOR = 11;
const CANDIDATES = ["python3.13", "python3.12", "python3.11", "python3"];

/**
 * @typedef {{ command: string, version: string, hasVenv: boolean }} Python what was found, usable or not
 * @typedef {(command: string) => Python | null} ProbePython
 */

const PROBE = `
import importlib.util, sys
has_venv = all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
print("%d.%d.%d" % sys.version_info[:3], "venv" if has_venv else "bare")
`;

/**
 * Asks a Python for its version; null when there is no such program or it does not run.
 *
 * @type {ProbePython}
 */
export function probePython(command) {
  const { status, stdout } = spawnSync(command, ["-c", PROBE], { encoding: "utf8" });
  const match = /^(\d+\.\d+\.\d+) (venv|bare)/.exec(status === 0 ? stdout : "");
  return match?.[1] === undefined
    ? null
    : { command, version: match[1], hasVenv: match[2] === "venv" };
}

/** @param {Python} python */
function isNewEnough({ version }) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 3 || (major === 3 && minor >= NEEDED_MINOR);
}

const HOW_TO_INSTALL =
  "Install one (Debian and Ubuntu: apt-get install python3 python3-venv; macOS: brew install python@3.13) " +
  "or name one with DALLE_PYTHON=/path/to/python3.";

/**
 * @param {readonly Python[]} found
 * @param {readonly string[]} names
 */
function describeProblem(found, names) {
  const needed = `Python 3.${NEEDED_MINOR} or newer is needed`;
  const bare = found.find(isNewEnough);
  if (bare !== undefined) {
    const series = bare.version.split(".").slice(0, 2).join(".");
    return (
      `Python ${bare.version} (${bare.command}) cannot make virtual environments: its venv module is missing. ` +
      `Install it (Debian and Ubuntu: apt-get install python${series}-venv) or name another Python with DALLE_PYTHON.`
    );
  }
  const [old] = found;
  return old === undefined
    ? `${needed}, and none was found (looked for ${names.join(", ")}). ${HOW_TO_INSTALL}`
    : `${needed}, and ${old.command} is Python ${old.version}. ${HOW_TO_INSTALL}`;
}

/**
 * The Python of DALLE_PYTHON, or else the newest on the path.
 *
 * @param {string | undefined} wanted the value of DALLE_PYTHON
 * @param {ProbePython} [probe]
 * @throws {Error} with a sentence that says what to install
 */
export function findPython(wanted, probe = probePython) {
  const names = wanted === undefined || wanted === "" ? CANDIDATES : [wanted];
  const found = names.map(probe).filter((python) => python !== null);
  const usable = found.find((python) => isNewEnough(python) && python.hasVenv);
  if (usable === undefined) throw new Error(describeProblem(found, names));
  return usable;
}
