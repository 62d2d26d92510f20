/** The phases in the life of a built server in which signals are tried, and how to get there. */
import { BuiltServer, type Health } from "../harness/built-server.mjs";
import { fakeSidecar } from "../harness/sidecar-program.mjs";

export interface Phase {
  /** Options of the fake sidecar. */
  readonly sidecar: string;
  readonly flags?: readonly string[];
  readonly isReached: (health: Health) => boolean;
  /** Whether a request is needed to get there; its images wait for the file `gate` in the server's folder. */
  readonly isBusy?: boolean;
}

export const LOADING: Phase = {
  sidecar: "--fault hang --at loading",
  isReached: ({ sidecar }) => sidecar.phase?.name === "load",
};
export const COMPILING: Phase = {
  sidecar: "--fault hang --at compiling",
  isReached: ({ sidecar }) => sidecar.phase?.name === "compile",
};
export const IDLE: Phase = { sidecar: "", isReached: ({ state }) => state === "ready" };
export const GENERATING: Phase = {
  sidecar: "--gate {folder}/gate",
  isReached: ({ queue }) => queue.runningImages === 2,
  isBusy: true,
};
export const BACKING_OFF: Phase = {
  sidecar: "--fault exit-0 --at before-hello",
  flags: ["--breaker_failures", "1"],
  isReached: ({ sidecar }) => sidecar.breaker.state === "open",
};

/** A server in a phase, with its sidecar, and its running request if it has one. */
interface Reached {
  readonly server: BuiltServer;
  readonly pid: number | null;
  readonly answer: Promise<Response> | null;
}

/** Brings a server to a phase, does something to it, and ends it with all that it started. */
export async function inPhase(
  { sidecar: options, flags = [], isReached, isBusy = false }: Phase,
  act: (reached: Reached) => Promise<void>,
): Promise<void> {
  const server = await BuiltServer.start({ program: fakeSidecar(options), flags });
  try {
    if (isBusy) await server.untilReady();
    const answer = isBusy ? server.post({ text: "a", num_images: 2 }) : null;
    answer?.catch(() => undefined);
    const { sidecar } = await server.untilHealth(isReached);
    await act({ server, pid: sidecar.pid, answer });
  } finally {
    await server.dispose();
  }
}
