/** How to start a program. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** Added to the environment of this process. */
  readonly env: Readonly<Record<string, string>>;
}

/** What a spawn is told before it can be spoken to. */
export interface Introduction {
  readonly endpoint: string;
  readonly identity: string;
  readonly token: string;
  readonly generation: number;
}

/**
 * Adds the introduction to a program. The token goes through the environment, because the arguments
 * of a process can be read by every user of the machine.
 */
export function createLaunch(program: Launch, introduction: Introduction): Launch {
  const { endpoint, identity, token, generation } = introduction;
  return {
    ...program,
    args: [...program.args, "--endpoint", endpoint, "--identity", identity],
    env: {
      ...program.env,
      PYTHONUNBUFFERED: "1",
      DALLE_SIDECAR_TOKEN: token,
      DALLE_SIDECAR_GENERATION: String(generation),
      DALLE_SIDECAR_PARENT_PID: String(process.pid),
    },
  };
}
