import { rmSync } from "node:fs";
import path from "node:path";
import { spawnArguments } from "./process/launch.js";
import { recordSidecar } from "./process/orphan.js";
import type { EventLog } from "./event-log.js";
import type { SupervisorOptions } from "./limits.js";
import { createRunFolder } from "./process/run-folder.js";
import {
  bindSecureTransport,
  bindTransport,
  type FramesListener,
  type Transport,
} from "./link/transport.js";

/** The socket that sidecars connect to, in a folder of its own. */
export interface Endpoint {
  readonly transport: Transport;
  /** Records which process a spawn is, so that the next server can end it should this one be killed. */
  noteSpawn(identity: string, pid: number | null): void;
  /** Closes the socket and removes the folder. */
  close(): Promise<void>;
  /** Removes the folder without waiting for anything. */
  removeNow(): void;
}

/** Creates the folder and binds the socket; what was made is removed again when that fails. */
export async function openEndpoint(
  { runFolderParent, transport: choice }: Pick<SupervisorOptions, "runFolderParent" | "transport">,
  events: EventLog,
  onFrames: FramesListener,
): Promise<Endpoint> {
  const folder = await createRunFolder(runFolderParent, (pid) => {
    events.orphanEnded(pid);
  });
  const removeNow = () => {
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const transport =
      choice.kind === "tcp"
        ? await bindSecureTransport(choice.host, onFrames)
        : await bindTransport(path.join(folder, "s.sock"), onFrames);
    return {
      transport,
      noteSpawn: (identity, pid) => {
        if (pid === null) return;
        recordSidecar(folder, pid, spawnArguments(transport.endpoint, identity));
      },
      close: async () => {
        await transport.close();
        removeNow();
      },
      removeNow,
    };
  } catch (error) {
    removeNow();
    throw error;
  }
}
