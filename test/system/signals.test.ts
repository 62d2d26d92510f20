/** Every signal in every state of the built server: its exit code, and what it leaves. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, test, vi, type ExpectStatic } from "vitest";
import { BuiltServer, type Health } from "../harness/built-server.mjs";
import { fakeSidecar } from "../harness/sidecar-program.mjs";
import { PATIENCE } from "../support/processes.js";

interface Phase {
  /** The fake sidecar is deaf to SIGTERM where the server would be gone before a second signal. */
  readonly sidecar: string;
  readonly flags?: readonly string[];
  readonly isReached: (health: Health) => boolean;
  /** Whether a request is needed to get there. */
  readonly isBusy?: boolean;
  /** Whether the signal comes after a first SIGTERM. */
  readonly isStopping?: boolean;
}

const GATE = "--gate {folder}/gate";
const isGenerating = ({ queue }: Health) => queue.runningImages === 2;

const PHASES: Readonly<Record<string, Phase>> = {
  loading: {
    sidecar: "--fault hang --at loading --deaf",
    isReached: ({ sidecar }) => sidecar.phase?.name === "load",
  },
  compiling: {
    sidecar: "--fault hang --at compiling --deaf",
    isReached: ({ sidecar }) => sidecar.phase?.name === "compile",
  },
  generating: { sidecar: GATE, isReached: isGenerating, isBusy: true },
  "backing off": {
    sidecar: "--fault exit-0 --at before-hello",
    flags: ["--breaker_failures", "1"],
    isReached: ({ sidecar }) => sidecar.breaker.state === "open",
  },
  stopping: { sidecar: GATE, isReached: isGenerating, isBusy: true, isStopping: true },
};

/** A server in one of the phases, with its running request if it has one. */
class Scene {
  readonly server: BuiltServer;
  readonly answer: Promise<Response> | null;

  constructor(server: BuiltServer, answer: Promise<Response> | null) {
    this.server = server;
    this.answer = answer;
  }

  static async reach(phase: Phase): Promise<Scene> {
    const { sidecar, flags = [] } = phase;
    const server = await BuiltServer.start({ program: fakeSidecar(sidecar), flags });
    if (phase.isBusy === true) await server.untilReady();
    const answer = phase.isBusy === true ? server.post({ text: "a", num_images: 2 }) : null;
    answer?.catch(() => undefined);
    await server.untilHealth(phase.isReached);
    const scene = new Scene(server, answer);
    if (phase.isStopping === true) await scene.stop("SIGTERM");
    return scene;
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    this.server.kill(signal);
    await this.server.untilLogged(
      "Stopping: finishing the running requests; a second signal stops at once",
    );
  }

  async openGate(): Promise<void> {
    await writeFile(path.join(this.server.folder, "gate"), "");
  }

  async expectRefusal(expect: ExpectStatic): Promise<void> {
    await this.server.untilHealth(({ state }) => state === "stopping");
    const refused = await this.server.post({ text: "too late" });
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ error: { code: "shutting_down" } });
  }

  async expectEnd(code: number, expect: ExpectStatic): Promise<void> {
    expect(await this.server.exited).toBe(code);
    expect(await this.server.listTemporary()).toEqual([]);
    await vi.waitFor(() => {
      expect(this.server.orders.listRunning()).toEqual([]);
    }, PATIENCE);
  }
}

async function inPhase(phase: Phase, act: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = await Scene.reach(phase);
  try {
    await act(scene);
  } finally {
    await scene.server.dispose();
  }
}

const EACH_PHASE = Object.entries(PHASES).map(([name, phase]) => ({ name, phase }));
const SIGNALS = [
  { signal: "SIGTERM", again: 143 },
  { signal: "SIGINT", again: 130 },
] as const;

describe.each(EACH_PHASE)("a server that is $name", ({ name, phase }) => {
  test.concurrent.for(SIGNALS)(
    "finishes what runs, refuses the rest and leaves nothing at $signal; the second time at once",
    async ({ signal, again }, { expect }) => {
      await inPhase(phase, async (scene) => {
        scene.server.kill(signal);
        if (phase.isStopping === true) {
          await scene.expectEnd(again, expect);
          return;
        }
        if (phase.isBusy === true) await scene.expectRefusal(expect);
        await scene.openGate();
        await scene.expectEnd(0, expect);
        expect((await scene.answer)?.status).toBe(phase.isBusy === true ? 200 : undefined);
      });
    },
  );

  test.concurrent("restarts its sidecar at SIGHUP, unless it is stopping", async ({ expect }) => {
    await inPhase(phase, async (scene) => {
      const { server } = scene;
      server.kill("SIGHUP");
      if (phase.isStopping === true) {
        await server.untilLogged("Restart ignored: the server is stopping");
      }
      await scene.openGate();
      if (phase.isStopping !== true) {
        await server.untilHealth(({ sidecar }) => sidecar.generation === 2);
        server.kill("SIGTERM");
      }
      await scene.expectEnd(0, expect);
      expect((await scene.answer)?.status).toBe(phase.isBusy === true ? 200 : undefined);
    });
  });

  test.concurrent("ends at once at a second SIGTERM", async ({ expect }) => {
    await inPhase(phase, async (scene) => {
      if (name === "backing off") {
        // There is nothing to wait for: the first one may have done it all.
        scene.server.kill("SIGTERM");
        scene.server.kill("SIGTERM");
        await scene.expectEnd((await scene.server.exited) === 0 ? 0 : 143, expect);
        return;
      }
      if (phase.isStopping !== true) await scene.stop("SIGTERM");
      scene.server.kill("SIGTERM");
      await scene.expectEnd(143, expect);
    });
  });
});
