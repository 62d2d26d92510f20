// Read by Node versions that are too old for the rest of the scripts: nothing newer than ES2019 in
// this file. Keep the number equal to "engines" in package.json.
const NEEDED_MAJOR = 20;
const NEEDED_MINOR = 19;

/**
 * @param {string} version such as "20.19.1"
 * @returns {string | null} what to do, or null when the version will do
 */
export function describeNodeProblem(version) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > NEEDED_MAJOR || (major === NEEDED_MAJOR && minor >= NEEDED_MINOR)) return null;
  return (
    `Node ${NEEDED_MAJOR}.${NEEDED_MINOR} or newer is needed, and this is Node ${version}. ` +
    "Install a newer one from https://nodejs.org or with your version manager (nvm install 20)."
  );
}
