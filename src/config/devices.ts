/** Which NVIDIA devices there are, and which of them each sidecar gets. */
import { readdirSync } from "node:fs";

/** The NVIDIA devices that this process may use, as CUDA_VISIBLE_DEVICES names them. */
export function listDevices(visible: string | undefined, folder = "/dev"): readonly string[] {
  if (visible !== undefined) {
    const names = visible.split(",").map((name) => name.trim());
    // CUDA itself stops at the first name that is none.
    const end = names.findIndex((name) => name === "" || name === "-1");
    return end === -1 ? names : names.slice(0, end);
  }
  try {
    return readdirSync(folder)
      .flatMap((name) => /^nvidia(\d+)$/.exec(name)?.[1] ?? [])
      .sort((one, other) => Number(one) - Number(other));
  } catch {
    return [];
  }
}

/**
 * Shares the devices out between sidecars: one each, in turn. A single sidecar sees whatever there is.
 *
 * @param wanted - how many sidecars; null for one each device, and one without devices.
 * @returns for each sidecar the value of CUDA_VISIBLE_DEVICES, or null to leave it alone.
 */
export function shareDevices(
  wanted: number | null,
  devices: readonly string[],
): readonly (string | null)[] {
  const count = wanted ?? Math.max(1, devices.length);
  if (count === 1) return [null];
  return Array.from({ length: count }, (_, index) => devices[index % devices.length] ?? null);
}
