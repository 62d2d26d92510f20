/** The steps of the set-up: what each is made from, what it makes, and how. */
import { rmSync } from "node:fs";
import { join } from "node:path";

import { chooseJaxBuild, hasNvidiaDriver } from "./jax-build.mjs";
import { findPython } from "./python.mjs";
import { hashInputs } from "./stamps.mjs";

/** The two sets of Python packages. */
const SERVING = { name: "python-packages" };
const TESTING = { name: "python-packages-for-tests" };

/**
 * @typedef {object} Step
 * @property {string} name of its stamp and its log
 * @property {string} title as shown while it runs
 * @property {string} hash of all it is made from
 * @property {string} product the path that must exist while the stamp counts
 * @property {() => [string, ...string[]]} prepare readies the ground and names the command to run
 * @property {readonly string[]} [undoes] names of steps whose work is gone once this one starts
 * @property {readonly { name: string, hash: string }[]} [completes] other stamps that hold once this step is done
 */

/**
 * The steps in order. Hashes are computed here, before the first step runs: a source that changes
 * while its step runs gets no stamp for what was not built.
 *
 * @param {{ root: string, forTests: boolean }} goal the folder of the package, and whether the packages of the tests
 *   and checks are wanted too
 * @param {NodeJS.ProcessEnv} env
 * @returns {Step[]}
 */
export function listSteps({ root, forTests }, env) {
  const node = `node ${process.version} ${process.platform} ${process.arch}`;
  const nodePackages = hashInputs(root, ["package.json", "package-lock.json"], [node]);
  const wantedPython = env["DALLE_PYTHON"];
  const build = chooseJaxBuild(env["DALLE_SETUP_JAX"], hasNvidiaDriver());
  // The build of JAX belongs to the environment: a plugin left from another build would be used.
  const environment = hashInputs(root, [], [wantedPython ?? "", build]);
  const venv = join(root, ".venv");
  return [
    {
      name: "node-packages",
      title: "Node packages (npm ci)",
      hash: nodePackages,
      product: join(root, "node_modules", ".package-lock.json"),
      prepare: () => {
        const script = process.env["npm_execpath"];
        const options = /** @type {const} */ (["ci", "--include=dev", "--no-audit", "--no-fund"]);
        const isScript = script?.endsWith(".js") === true;
        return isScript ? [process.execPath, script, ...options] : ["npm", ...options];
      },
    },
    {
      name: "build",
      title: "TypeScript build (tsc)",
      // The compiler is one of the packages.
      hash: hashInputs(root, ["src", "tsconfig.json", "tsconfig.build.json"], [nodePackages]),
      product: join(root, "dist", "main.js"),
      prepare: () => {
        rmSync(join(root, "dist"), { recursive: true, force: true });
        const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
        return [process.execPath, compiler, "--project", join(root, "tsconfig.build.json")];
      },
    },
    {
      name: "python-environment",
      title: "Python environment (.venv)",
      hash: environment,
      product: join(venv, "bin", "python"),
      prepare: () => [findPython(wantedPython).command, "-m", "venv", "--clear", venv],
      undoes: [SERVING.name, TESTING.name],
    },
    describePythonPackages(root, { environment, build, forTests }),
  ];
}

/**
 * The packages of the tests include those of the server, so one installation answers for both; a later one of the
 * server's alone may have changed what the tests had.
 *
 * @param {string} root
 * @param {{ environment: string, build: "cpu" | "cuda", forTests: boolean }} needs
 * @returns {Step}
 */
function describePythonPackages(root, { environment, build, forTests }) {
  const serving = [build === "cuda" ? "requirements-cuda.txt" : "requirements.txt"];
  const files = forTests ? [...serving, "requirements-dev.txt"] : serving;
  /** @param {readonly string[]} inputs */
  const hashFiles = (inputs) => hashInputs(root, ["requirements.txt", ...inputs], [environment]);
  const python = join(root, ".venv", "bin", "python");
  const servingStamp = { ...SERVING, hash: hashFiles(serving) };
  const own = forTests
    ? { ...TESTING, hash: hashFiles(files), undoes: [SERVING.name], completes: [servingStamp] }
    : { ...servingStamp, undoes: [TESTING.name] };
  return {
    ...own,
    title: `Python packages (pip install, ${build.toUpperCase()} build of JAX)`,
    product: python,
    prepare: () => {
      const options = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input"];
      return [python, ...options, ...files.flatMap((file) => ["--requirement", join(root, file)])];
    },
  };
}
