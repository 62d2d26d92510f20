/** What the built server does when the machine does not give it what it asks for. */
import { readdir } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import path from "node:path";
import { describe, expect, test, vi } from "vitest";
import type { BuiltServer } from "../harness/built-server.mjs";
import { fakeSidecar } from "../harness/sidecar-program.mjs";
import { startServer } from "../support/server.js";

const PATIENCE = { timeout: 30_000, interval: 50 };
const REQUEST = { text: "a", num_images: 2 };

async function startReady(shellLimit: string, ...flags: string[]): Promise<BuiltServer> {
  const program = fakeSidecar("--width 256 --height 256");
  const server = await startServer({ program, flags, shellLimit });
  await server.untilReady();
  return server;
}

describe("saving to disk", () => {
  test("on a disk that is full costs the copies, never the answer, and leaves no half file", async () => {
    // No file may be longer than 512 or 1024 bytes: to the one who writes, the disk is full.
    const limited = await startReady(
      "ulimit -f 1",
      "--save_to_disk",
      "--output_dir",
      "{folder}/out",
    );
    const response = await limited.post(REQUEST);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ generatedImages: { length: 2 } });
    await limited.untilLogged("The images were answered but not saved: EFBIG");
    expect(await readdir(path.join(limited.folder, "out"))).toEqual([]);
    const { saving } = await limited.health();
    expect(saving).toMatchObject({ savedCount: 0, failedCount: 2 });
  });

  test("in a folder where nothing can be made costs the copies, never the answer", async () => {
    // Not even root may make anything there.
    const limited = await startReady(":", "--save_to_disk", "--output_dir", "/proc/sys/dalle");
    const response = await limited.post(REQUEST);
    expect(response.status).toBe(200);
    await limited.untilLogged("The images were answered but not saved: E");
    expect((await limited.health()).saving).toMatchObject({ savedCount: 0, failedCount: 2 });
    expect((await fetch(`${limited.url}/ready`)).status).toBe(200);
  });
});

describe("a server that may have few descriptors", () => {
  test("outlives a crowd of connections, and a death of its sidecar in the middle of it", async () => {
    const limit = 128;
    const limited = await startReady(`ulimit -n ${limit}`);
    const { port } = new URL(limited.url);
    const { sidecar } = await limited.health();
    const crowd = Array.from({ length: 3 * limit }, () => connectQuietly(Number(port)));
    await vi.waitFor(async () => {
      const { length } = await readdir(`/proc/${limited.pid}/fd`);
      expect(length).toBeGreaterThanOrEqual(limit - 2);
    }, PATIENCE);

    process.kill(sidecar.pid ?? Number.NaN, "SIGKILL");
    // It cannot be started again as long as nothing can be opened.
    await limited.untilLogged("the sidecar was ended by SIGKILL");
    for (const socket of crowd) socket.destroy();

    await limited.untilHealth(({ state, sidecar: { generation } }) => {
      return state === "ready" && generation > 1;
    });
    expect((await limited.post(REQUEST)).status).toBe(200);
    expect(await limited.stop()).toBe(0);
  });
});

/** A connection that says nothing; that it is refused or cut is part of the test. */
function connectQuietly(port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  return socket;
}
