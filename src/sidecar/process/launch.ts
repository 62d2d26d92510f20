import type { SidecarKeys } from "../link/curve.js";

/** How to start a program. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** Added to the environment of this process. */
  readonly env: Readonly<Record<string, string>>;
}

/** What a spawn needs to connect. */
interface Introduction {
  readonly endpoint: string;
  readonly identity: string;
  readonly token: string;
  /** Null where the file system guards the socket. */
  readonly keys: SidecarKeys | null;
  readonly generation: number;
}

/** The arguments that no two spawns share. */
export function spawnArguments(endpoint: string, identity: string): string[] {
  return ["--endpoint", endpoint, "--identity", identity];
}

/**
 * Adds the introduction to a program. The secrets go through the environment, because the arguments
 * of a process can be read by every user of the machine.
 */
export function createLaunch(program: Launch, introduction: Introduction): Launch {
  const { endpoint, identity, token, generation, keys } = introduction;
  return {
    ...program,
    args: [...program.args, ...spawnArguments(endpoint, identity)],
    env: {
      ...program.env,
      PYTHONUNBUFFERED: "1",
      DALLE_SIDECAR_TOKEN: token,
      DALLE_SIDECAR_GENERATION: String(generation),
      DALLE_SIDECAR_PARENT_PID: String(process.pid),
      ...(keys !== null && {
        DALLE_SIDECAR_SERVER_KEY: keys.serverKey,
        DALLE_SIDECAR_PUBLIC_KEY: keys.publicKey,
        DALLE_SIDECAR_SECRET_KEY: keys.secretKey,
      }),
    },
  };
}
