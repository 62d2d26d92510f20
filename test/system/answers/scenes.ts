/** The servers that are asked, and when the requests come. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import type { BuiltServer, Health } from "../../harness/built-server.mjs";
import { START_LIMIT_MS } from "../../harness/until.mjs";

export interface Scene {
  /** Options of the fake sidecar; without it the real one serves. */
  readonly sidecar?: string;
  readonly flags?: string;
  /** The health in which each group of requests comes; by default every sidecar is ready and, unless tasks are held, idle. */
  readonly isReached?: (health: Health) => boolean;
  /** What happens while the requests of the first group wait for the gate of the fake sidecar. */
  readonly whileHeld?: (server: BuiltServer) => unknown;
}

const GATE = "--gate {folder}/gate";
const SAVING = "--save_to_disk true --output_dir {folder}/pictures";

const openGate = (server: BuiltServer) => writeFile(path.join(server.folder, "gate"), "");

export const SCENES: Readonly<Record<string, Scene>> = {
  ready: { sidecar: "", flags: "--log_level debug" },
  "saving PNG": { sidecar: "", flags: `${SAVING} --img_format PNG` },
  "saving JPEG": { sidecar: "", flags: `${SAVING} --img_format JPEG --sidecars 2` },
  "saving WEBP": { sidecar: "", flags: `${SAVING} --img_format WEBP` },
  loading: {
    sidecar: "--fault hang --at compiling",
    isReached: ({ sidecar }) => sidecar.phase?.name === "compile",
  },
  "failed for good": {
    sidecar: "--fault checkpoint-missing --at loading",
    isReached: ({ state }) => state === "failed",
  },
  "failed too often": {
    sidecar: "--fault exit-0 --at before-hello",
    flags: "--breaker_failures 1 --breaker_pause 86400",
    isReached: ({ sidecar }) => sidecar.breaker.state === "open",
  },
  "full queue": {
    sidecar: GATE,
    flags: "--queue_limit 2 --prefetch 0",
    whileHeld: () => undefined,
  },
  stopping: {
    sidecar: GATE,
    isReached: ({ state }) => state === "stopping",
    whileHeld: (server) => {
      server.kill("SIGTERM");
    },
  },
  "killed sidecar": {
    sidecar: GATE,
    flags: "--backoff_base 0",
    isReached: ({ sidecar, queue }) =>
      sidecar.generation === 2 && sidecar.state === "ready" && queue.openJobs === 0,
    whileHeld: async (server) => {
      process.kill((await server.health()).sidecar.pid ?? 0, "SIGKILL");
      await openGate(server);
    },
  },
  poison: { sidecar: "--fault sigkill --at poison", flags: "--backoff_base 0" },
  "failing task": { sidecar: "--refuse engine_error" },
  "prompt refused by the model": { sidecar: "--refuse prompt_invalid" },
  "late answer": { sidecar: GATE, flags: "--request_timeout 1" },
  Nano: { flags: "--model_version Nano --cache_dir {folder}/cache --slots 2" },
};

/** Sends the groups of a scene in their order, each when its time has come, and ends the server. */
export async function play(
  { whileHeld, isReached = whileHeld === undefined ? areAllIdle : areAllReady }: Scene,
  server: BuiltServer,
  groups: readonly (() => Promise<void>)[],
): Promise<void> {
  const others = [...groups];
  let held: Promise<void> | undefined;
  if (whileHeld !== undefined) {
    await server.untilHealth(areAllReady, START_LIMIT_MS);
    held = others.shift()?.();
    await server.untilHealth(({ queue }) => queue.runningImages === 2);
    await whileHeld(server);
  }
  for (const send of others) {
    await server.untilHealth(isReached, START_LIMIT_MS);
    await send();
  }
  await openGate(server);
  await held;
  // A second signal would cut the answers that still run.
  if (!server.messages.some((message) => message.startsWith("Stopping"))) server.kill("SIGTERM");
  await server.exited;
}

function areAllReady({ sidecars }: Health): boolean {
  return sidecars.every(({ state }) => state === "ready");
}

/** Ready, and every task of the requests before is gone. */
function areAllIdle(health: Health): boolean {
  return areAllReady(health) && health.sidecars.every(({ running }) => running === 0);
}
