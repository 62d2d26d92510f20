/** Which build of JAX this machine gets. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** @returns {boolean} whether an NVIDIA driver is present */
export function hasNvidiaDriver() {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return (
    existsSync("/proc/driver/nvidia/version") ||
    folders.some((folder) => existsSync(join(folder, "nvidia-smi")))
  );
}

/**
 * @param {string | undefined} wanted the value of DALLE_SETUP_JAX
 * @param {boolean} hasDriver
 * @throws {Error} when DALLE_SETUP_JAX is neither
 */
export function chooseJaxBuild(wanted, hasDriver) {
  if (wanted === undefined || wanted === "") return hasDriver ? "cuda" : "cpu";
  if (wanted !== "cpu" && wanted !== "cuda") {
    throw new Error(`DALLE_SETUP_JAX is "${wanted}"; it must be "cpu" or "cuda".`);
  }
  return wanted;
}
