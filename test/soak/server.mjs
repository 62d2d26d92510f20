/** The server of a soak: the built one over a sidecar with faults on demand, with every limit at its default but one. */
import { BuiltServer } from "../harness/built-server.mjs";
import { fakeSidecar } from "../harness/sidecar-program.mjs";

export const IMAGE_SIDE = 32;
/** The only limit of supervision that is not the default: a hang is not worth five minutes of a soak. */
const CHUNK_TIMEOUT_S = 3;
const FAKE = `--chunks 4 --step-ms 8 --width ${IMAGE_SIDE} --height ${IMAGE_SIDE}`;

/**
 * @param {object} options
 * @param {"fake" | "nano"} options.sidecar
 * @param {number} options.sidecarCount
 * @param {boolean} options.isSaving
 * @param {readonly string[]} options.flags more of them
 * @returns {Promise<BuiltServer>}
 */
export function startServer({ sidecar, sidecarCount, isSaving, flags }) {
  return BuiltServer.start({
    program: fakeSidecar(sidecar === "nano" ? "--real" : FAKE),
    flags: [
      ...(sidecar === "nano" ? ["--model_version", "Nano"] : []),
      ...["--sidecars", String(sidecarCount), "--save_to_disk", String(isSaving)],
      ...["--output_dir", "{folder}/images", "--queue_limit", "80"],
      ...["--chunk_timeout", String(CHUNK_TIMEOUT_S)],
      // So many failures are the point here.
      ...["--breaker_failures", "1000", "--drain_timeout", "20", ...flags],
    ],
    env: { NODE_OPTIONS: `--import=${new URL("gc-on-signal.mjs", import.meta.url).href}` },
  });
}
