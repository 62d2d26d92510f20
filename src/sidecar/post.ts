import path from "node:path";
import { createRunFolder } from "./run-folder.js";
import { bindTransport, type FramesListener, type Transport } from "./transport.js";

/** The socket that sidecars connect to, in a folder of its own. */
export interface Post {
  readonly transport: Transport;
  /** Closes the socket and removes the folder. */
  close(): Promise<void>;
  /** Removes the folder without waiting for anything. */
  removeNow(): void;
}

/** Creates the folder and binds the socket; what was made is removed again when that fails. */
export async function openPost(
  parent: string | undefined,
  onFrames: FramesListener,
): Promise<Post> {
  const folder = await createRunFolder(parent);
  try {
    const transport = await bindTransport(path.join(folder.path, "s.sock"), onFrames);
    return {
      transport,
      close: async () => {
        await transport.close();
        await folder.remove();
      },
      removeNow: () => {
        folder.removeNow();
      },
    };
  } catch (error) {
    await folder.remove();
    throw error;
  }
}
