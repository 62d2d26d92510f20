import { readdir } from "node:fs/promises";
import { describe, test, vi } from "vitest";
import { isRunning, listDescendants } from "../support/processes.js";
import { ServerProcess, type Health } from "../support/server-process.js";

/** A server that is killed with SIGKILL: what it leaves, at once and after the next start. */

/** From the end of the server to the end of everything it has started. */
const ORPHAN_LIMIT = { timeout: 1_000, interval: 5 };

const isGenerating = ({ queue }: Health) => queue.runningImages === 2;
const PHASES = [
  {
    phase: "loading",
    sidecar: "--mode load-hang",
    isReached: ({ sidecar }: Health) => sidecar.phase?.name === "load",
  },
  {
    phase: "compiling",
    sidecar: "--mode compile-hang",
    isReached: ({ sidecar }: Health) => sidecar.phase?.name === "compile",
  },
  { phase: "idle", sidecar: "", isReached: ({ state }: Health) => state === "ready" },
  { phase: "generating", sidecar: "--gate {folder}/gate", isReached: isGenerating },
  { phase: "draining", sidecar: "--gate {folder}/gate", isReached: isGenerating },
];
const CASES = PHASES.flatMap((one) =>
  [false, true].map((isHeld) => ({ ...one, isHeld, lock: isHeld ? "held" : "free" })),
);

async function reach({ phase, sidecar, isReached }: (typeof PHASES)[number]) {
  const server = await ServerProcess.startHaunted(sidecar);
  if (phase === "generating" || phase === "draining") {
    await server.untilReady();
    server.post({ text: "a", num_images: 2 }).catch(() => undefined);
  }
  const health = await server.untilHealth(isReached);
  if (phase === "draining") {
    server.kill("SIGTERM");
    await server.untilHealth(({ state }) => state === "stopping");
  }
  return { server, pid: health.sidecar.pid ?? 0 };
}

async function listRunFolders(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.startsWith("dalle-run-"));
}

describe("SIGKILL to the server leaves no process, and nothing after the next start", () => {
  test.concurrent.for(CASES)("while it is $phase, Python's lock $lock", async (one, { expect }) => {
    const { server, pid } = await reach(one);
    try {
      const pids = listDescendants(server.pid);
      expect(pids).toContain(pid);
      if (one.isHeld) await server.order(pid, "gil-held");
      const [left] = await listRunFolders(server.folder);

      server.kill("SIGKILL");
      await server.exited;

      await vi.waitFor(() => {
        expect(pids.filter(isRunning)).toEqual([]);
      }, ORPHAN_LIMIT);
      const successor = await server.startSuccessor();
      await successor.untilHealth(({ sidecar }) => sidecar.pid !== null);
      const folders = await listRunFolders(server.folder);
      expect(folders).toHaveLength(1);
      expect(folders).not.toContain(left);
      await successor.dispose();
    } finally {
      await server.dispose();
    }
  });
});
