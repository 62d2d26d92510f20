/** Every signal in every state of the built server: its exit code, and what it leaves. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, test, vi, type ExpectStatic } from "vitest";
import type { BuiltServer } from "../harness/built-server.mjs";
import { PATIENCE } from "../support/processes.js";
import { BACKING_OFF, COMPILING, GENERATING, inPhase, LOADING, type Phase } from "./phases.js";

/** Deaf to SIGTERM: else the server would be gone before a second signal. */
function makeDeaf(phase: Phase): Phase {
  return { ...phase, sidecar: `${phase.sidecar} --deaf` };
}

const PHASES = [
  { name: "loading", phase: makeDeaf(LOADING) },
  { name: "compiling", phase: makeDeaf(COMPILING) },
  { name: "generating", phase: GENERATING },
  { name: "backing off", phase: BACKING_OFF },
];
const SIGNALS = [
  { signal: "SIGTERM", again: 143 },
  { signal: "SIGINT", again: 130 },
] as const;

async function untilStopping(server: BuiltServer): Promise<void> {
  await server.untilLogged(
    "Stopping: finishing the running requests; a second signal stops at once",
  );
}

async function openGate({ folder }: BuiltServer): Promise<void> {
  await writeFile(path.join(folder, "gate"), "");
}

async function expectRefusal(server: BuiltServer, expect: ExpectStatic): Promise<void> {
  await server.untilHealth(({ state }) => state === "stopping");
  const refused = await server.post({ text: "too late" });
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ error: { code: "shutting_down" } });
}

async function expectEnd(server: BuiltServer, codes: readonly number[], expect: ExpectStatic) {
  expect(codes).toContain(await server.exited);
  expect(await server.listTemporary()).toEqual([]);
  await vi.waitFor(() => {
    expect(server.orders.listRunning()).toEqual([]);
  }, PATIENCE);
}

describe.each(PHASES)("a server that is $name", ({ name, phase }) => {
  test.concurrent.for(SIGNALS)(
    "finishes what runs, refuses the rest and leaves nothing at $signal",
    async ({ signal }, { expect }) => {
      await inPhase(phase, async ({ server, answer }) => {
        server.kill(signal);
        if (answer !== null) await expectRefusal(server, expect);
        await openGate(server);
        await expectEnd(server, [0], expect);
        if (answer !== null) expect((await answer).status).toBe(200);
      });
    },
  );

  test.concurrent("restarts its sidecar at SIGHUP", async ({ expect }) => {
    await inPhase(phase, async ({ server, answer }) => {
      server.kill("SIGHUP");
      await openGate(server);
      await server.untilHealth(({ sidecar }) => sidecar.generation === 2);
      server.kill("SIGTERM");
      await expectEnd(server, [0], expect);
      if (answer !== null) expect((await answer).status).toBe(200);
    });
  });

  test.concurrent.for(SIGNALS)(
    "ends at once when $signal follows SIGTERM",
    async ({ signal, again }, { expect }) => {
      await inPhase(phase, async ({ server }) => {
        const hasWork = name !== "backing off";
        server.kill("SIGTERM");
        if (hasWork) await untilStopping(server);
        server.kill(signal);
        // Without work the first one may have done it all, and two that wait come in either order.
        await expectEnd(server, hasWork ? [again] : [0, again, 143], expect);
      });
    },
  );
});

test("a server that is stopping ignores SIGHUP", async ({ expect }) => {
  await inPhase(GENERATING, async ({ server, answer }) => {
    server.kill("SIGTERM");
    await untilStopping(server);
    server.kill("SIGHUP");
    await server.untilLogged("Restart ignored: the server is stopping");
    await openGate(server);
    await expectEnd(server, [0], expect);
    expect((await answer)?.status).toBe(200);
  });
});
