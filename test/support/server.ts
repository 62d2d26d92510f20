/** The built server for a test. */
import { onTestFinished } from "vitest";
import { BuiltServer, type ServerOptions } from "../harness/built-server.mjs";
import { fakeSidecar } from "../harness/sidecar-program.mjs";

/** Starts it, and ends it with all that it has started after the test. */
export async function startServer(options: ServerOptions): Promise<BuiltServer> {
  const server = await BuiltServer.start(options);
  onTestFinished(() => server.dispose());
  return server;
}

/** The same over the fake sidecar, with options of it between spaces. */
export function startFake(sidecar = "", ...flags: string[]): Promise<BuiltServer> {
  return startServer({ program: fakeSidecar(sidecar), flags });
}
