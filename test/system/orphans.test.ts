/** The built server is killed with SIGKILL: what it leaves, at once and after the next start. */
import { describe, expect, test, vi } from "vitest";
import type { BuiltServer } from "../harness/built-server.mjs";
import { expectGone } from "../support/processes.js";
import { startFake } from "../support/server.js";
import { COMPILING, GENERATING, IDLE, inPhase, LOADING } from "./phases.js";

/** From the end of the server to the end of everything it has started. */
const ORPHAN_LIMIT = { timeout: 1_000, interval: 5 };

const PHASES = [
  { name: "loading", phase: LOADING },
  { name: "compiling", phase: COMPILING },
  { name: "idle", phase: IDLE },
  { name: "deaf to SIGTERM", phase: { ...IDLE, sidecar: "--deaf" } },
  { name: "generating", phase: GENERATING },
  { name: "draining", phase: GENERATING },
];
const CASES = PHASES.flatMap((one) => [
  { ...one, lock: "free" },
  { ...one, lock: "held" },
]);

async function listRunFolders(server: BuiltServer): Promise<string[]> {
  return (await server.listTemporary()).filter((name) => name.startsWith("dalle-run-"));
}

describe("SIGKILL to the server leaves no process, and nothing after the next start", () => {
  test.concurrent.for(CASES)("while it is $name, Python's lock $lock", async (one, { expect }) => {
    await inPhase(one.phase, async ({ server, pid }) => {
      if (one.name === "draining") {
        server.kill("SIGTERM");
        await server.untilHealth(({ state }) => state === "stopping");
      }
      expect(server.orders.listRunning()).toEqual([pid]);
      if (one.lock === "held") await server.orders.give(pid ?? 0, "gil-held").untilObeyed();
      const [left] = await listRunFolders(server);

      server.kill("SIGKILL");
      await server.exited;

      await vi.waitFor(() => {
        expect(server.orders.listRunning()).toEqual([]);
      }, ORPHAN_LIMIT);
      const successor = await server.startSuccessor();
      await successor.untilHealth(({ sidecar }) => sidecar.pid !== null);
      const folders = await listRunFolders(server);
      expect(folders).toHaveLength(1);
      expect(folders).not.toContain(left);
    });
  });

  test("before its sidecar could ask the kernel for that", async () => {
    const server = await startFake("--fault silence --at before-hello");
    const { sidecar } = await server.untilHealth(({ sidecar: { pid } }) => pid !== null);

    server.kill("SIGKILL");

    await expectGone(sidecar.pid);
  });

  test("of a sidecar that has no guard: the next server ends it, with all that it started", async () => {
    const server = await startFake("--unguarded --fault grandchild --at before-hello");
    await server.untilReady();
    const pids = server.orders.listRunning();
    expect(pids).toHaveLength(2);
    server.kill("SIGKILL");
    await server.exited;
    expect(server.orders.listRunning()).toEqual(pids);

    const successor = await server.startSuccessor();

    await successor.untilReady();
    await expectGone(...pids);
    expect(successor.lines).toContainEqual(expect.objectContaining({ event: "orphan_ended" }));
  });
});
