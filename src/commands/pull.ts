import type { Launch } from "../sidecar/process/launch.js";
import { SidecarProcess } from "../sidecar/process/process.js";

/** What Ctrl-C leaves to the program that fetches; what it has fetched stays. */
const GRACE_MS = 2_000;

export interface PullOptions {
  /** How to start the program; the addresses are added to its arguments. */
  readonly program: Launch;
  /** Hub addresses; null: it is here already. */
  readonly model: string | null;
  readonly vqgan: string | null;
  readonly onLine: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Fetches checkpoints without serving them. Resolves with the exit code: 0 when all are here. */
export async function pullCheckpoints(options: PullOptions): Promise<number> {
  const { program, model, vqgan, onLine, signal } = options;
  const env = {
    ...program.env,
    PYTHONUNBUFFERED: "1",
    DALLE_SIDECAR_PARENT_PID: String(process.pid),
  };
  const args = [
    ...program.args,
    ...(model === null ? [] : ["--model", model]),
    ...(vqgan === null ? [] : ["--vqgan", vqgan]),
  ];
  const launch = { ...program, args, env };
  const puller = new SidecarProcess(launch, { onLine, onExit: () => undefined });
  signal.addEventListener("abort", () => void puller.terminate(GRACE_MS), { once: true });
  const exit = await puller.exited;
  switch (exit.kind) {
    case "exited":
      return exit.exitCode;
    case "killed":
      return 1;
    case "spawn_failed":
      onLine(`${program.command} could not be started: ${exit.error.message}`);
      return 1;
  }
}
