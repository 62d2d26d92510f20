/** `pull`: fetches a model without serving it. */
import { isHubAddress } from "../checkpoint/hub-address.js";
import type { Config } from "../config/config.js";
import { SidecarProcess } from "../sidecar/process/process.js";

/** What Ctrl-C leaves to the program that fetches; what it has fetched stays. */
const GRACE_MS = 2_000;

/** Fetches what the configuration names on the hub; the exit code is 0 when all of it is here. */
export async function pull(config: Config): Promise<number> {
  const { checkpoint, vqgan } = config.sidecar.config;
  const wanted = [...chooseArgument("--model", checkpoint), ...chooseArgument("--vqgan", vqgan)];
  if (wanted.length === 0) return 0;
  if (config.modelNote !== null) print(config.modelNote);
  const launch = {
    command: config.python,
    args: ["-m", "sidecar.hub.pull", ...wanted],
    cwd: config.packageRoot,
    env: { PYTHONUNBUFFERED: "1", DALLE_SIDECAR_PARENT_PID: String(process.pid) },
  };
  const puller = new SidecarProcess(launch, { onLine: print, onExit: () => undefined });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => void puller.terminate(GRACE_MS));
  }
  const exit = await puller.exited;
  switch (exit.kind) {
    case "exited":
      return exit.exitCode;
    case "killed":
      return 1;
    case "spawn_failed":
      print(`${config.python} could not be started: ${exit.error.message}`);
      return 1;
  }
}

/** The argument of the program for what has to be fetched; a folder is here already. */
function chooseArgument(name: string, place: string | null): readonly string[] {
  if (place === null) return [];
  if (isHubAddress(place)) return [name, place];
  print(`Here: ${place}`);
  return [];
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
