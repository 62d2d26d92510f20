/** The built server is killed with SIGKILL: what it leaves, at once and after the next start. */
import { describe, expect, test, vi } from "vitest";
import { BuiltServer, type Health } from "../harness/built-server.mjs";
import { fakeSidecar } from "../harness/sidecar-program.mjs";
import { expectGone } from "../support/processes.js";
import { startFake } from "../support/server.js";

/** From the end of the server to the end of everything it has started. */
const ORPHAN_LIMIT = { timeout: 1_000, interval: 5 };

const isReady = ({ state }: Health) => state === "ready";
const isGenerating = ({ queue }: Health) => queue.runningImages === 2;
const PHASES = [
  {
    phase: "loading",
    sidecar: "--fault hang --at loading",
    isReached: ({ sidecar }: Health) => sidecar.phase?.name === "load",
  },
  {
    phase: "compiling",
    sidecar: "--fault hang --at compiling",
    isReached: ({ sidecar }: Health) => sidecar.phase?.name === "compile",
  },
  { phase: "idle", sidecar: "", isReached: isReady },
  { phase: "deaf to SIGTERM", sidecar: "--deaf", isReached: isReady },
  { phase: "generating", sidecar: "--gate {folder}/gate", isReached: isGenerating },
  { phase: "draining", sidecar: "--gate {folder}/gate", isReached: isGenerating },
];
const CASES = PHASES.flatMap((one) =>
  [false, true].map((isHeld) => ({ ...one, isHeld, lock: isHeld ? "held" : "free" })),
);

async function reach(server: BuiltServer, { phase, isReached }: (typeof PHASES)[number]) {
  if (phase === "generating" || phase === "draining") {
    await server.untilReady();
    server.post({ text: "a", num_images: 2 }).catch(() => undefined);
  }
  const { sidecar } = await server.untilHealth(isReached);
  if (phase === "draining") {
    server.kill("SIGTERM");
    await server.untilHealth(({ state }) => state === "stopping");
  }
  return sidecar.pid ?? Number.NaN;
}

async function listRunFolders(server: BuiltServer): Promise<string[]> {
  return (await server.listTemporary()).filter((name) => name.startsWith("dalle-run-"));
}

describe("SIGKILL to the server leaves no process, and nothing after the next start", () => {
  test.concurrent.for(CASES)("while it is $phase, Python's lock $lock", async (one, { expect }) => {
    const server = await BuiltServer.start({ program: fakeSidecar(one.sidecar) });
    try {
      const pid = await reach(server, one);
      expect(server.orders.listRunning()).toEqual([pid]);
      if (one.isHeld) await server.orders.give(pid, "gil-held").untilObeyed();
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
    } finally {
      await server.dispose();
    }
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
