import { readFileSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { Dealer } from "zeromq";
import { bindSecureTransport, type Transport } from "../../../src/sidecar/link/transport.js";
import { readArguments } from "../../../src/sidecar/process/procfs.js";
import { Gatekeeper, type SidecarKeys } from "../../../src/sidecar/link/curve.js";
import { PATIENCE } from "../../support/processes.js";
import { createSetup, runTask, startReady, waitForStatus } from "../support.js";

const TCP = { kind: "tcp", host: "127.0.0.1" } as const;

async function bind() {
  const arrived: string[] = [];
  const transport = await bindSecureTransport(TCP.host, (_peer, frames) => {
    arrived.push(...frames.map((frame) => Buffer.from(frame).toString()));
  });
  onTestFinished(() => transport.close());
  return { transport, arrived };
}

/** A peer with some keys, or with none, that has a frame to deliver. */
async function speak(
  { endpoint }: Pick<Transport, "endpoint">,
  keys: SidecarKeys | null,
  frame: string,
): Promise<Dealer> {
  const curve = {
    curveServerKey: keys?.serverKey ?? null,
    curvePublicKey: keys?.publicKey ?? null,
    curveSecretKey: keys?.secretKey ?? null,
  };
  const dealer = new Dealer({ linger: 0, ...(keys === null ? {} : curve) });
  onTestFinished(() => {
    dealer.close();
  });
  dealer.connect(endpoint);
  await dealer.send([frame]);
  return dealer;
}

function keysOf({ keys }: Transport): SidecarKeys {
  if (keys === null) throw new Error("a tcp transport has keys");
  return keys;
}

/** Keys as good as those of the transport, but of another one. */
async function makeForeignKeys(): Promise<SidecarKeys> {
  const foreign = await Gatekeeper.open();
  foreign.close();
  return foreign.keys;
}

describe("a tcp transport", () => {
  test("listens on the given address only, on a port of its own", async () => {
    const { transport } = await bind();

    const { hostname, port } = new URL(transport.endpoint);

    expect(hostname).toBe("127.0.0.1");
    expect(Number(port)).toBeGreaterThan(0);
  });

  test("has other keys each time", async () => {
    const [one, other] = [await bind(), await bind()];

    const all = [one, other].flatMap(({ transport }) => {
      const { serverKey, publicKey, secretKey } = keysOf(transport);
      return [serverKey, publicKey, secretKey];
    });

    expect(new Set(all).size).toBe(6);
  });

  test("carries the frames of a peer with its keys, and answers", async () => {
    const { transport, arrived } = await bind();

    await speak(transport, keysOf(transport), "hello");

    await expect.poll(() => arrived, PATIENCE).toEqual(["hello"]);
    expect(transport.refusedCount).toBe(0);
  });

  test.each([
    [
      "a key of its own",
      (foreign: SidecarKeys, own: SidecarKeys) => ({ ...foreign, serverKey: own.serverKey }),
    ],
    [
      "another server's key",
      (foreign: SidecarKeys, own: SidecarKeys) => ({ ...own, serverKey: foreign.serverKey }),
    ],
    ["no key", () => null],
  ])("lets no frame of a peer with %s through, and counts it", async (_title, choose) => {
    const { transport, arrived } = await bind();
    const keys = choose(await makeForeignKeys(), keysOf(transport));

    await speak(transport, keys, "evil");

    await expect.poll(() => transport.refusedCount, PATIENCE).toBeGreaterThan(0);
    await speak(transport, keysOf(transport), "good");
    await expect.poll(() => arrived, PATIENCE).toEqual(["good"]);
  });

  test("is refused, with the remedy, where ZeroMQ cannot encrypt", async () => {
    const opened = Gatekeeper.open({ curve: false });

    await expect(opened).rejects.toMatchObject({ code: "curve_missing" });
    await expect(opened).rejects.toThrow(/use --sidecar_transport ipc/);
  });
});

/** A ready supervisor, and what the kernel says that its sidecar was given. */
async function startOverTcp() {
  const { supervisor } = await startReady("normal", { transport: TCP });
  const pid = supervisor.status().pid ?? Number.NaN;
  const command = readArguments(pid);
  const endpoint = command[command.indexOf("--endpoint") + 1] ?? "";
  const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
  const read = (name: string) =>
    new RegExp(`\\bDALLE_SIDECAR_${name}=([^\\0]*)`).exec(environment)?.[1] ?? "";
  const keys = {
    serverKey: read("SERVER_KEY"),
    publicKey: read("PUBLIC_KEY"),
    secretKey: read("SECRET_KEY"),
  };
  return { supervisor, command, endpoint, keys, token: read("TOKEN") };
}

describe("a supervisor over tcp", () => {
  test("gives the keys to its sidecar, and keeps them out of the list of processes", async () => {
    const { command, endpoint, keys, token } = await startOverTcp();

    expect(endpoint).toContain("tcp://127.0.0.1:");
    for (const secret of [...Object.values(keys), token]) {
      expect(secret.length).toBeGreaterThanOrEqual(40);
      expect(command.join(" ")).not.toContain(secret);
    }
  });

  test("drops and counts what comes with the right key from a peer that it did not start", async () => {
    const { supervisor, endpoint, keys } = await startOverTcp();

    await speak({ endpoint }, keys, "from a former generation");

    await expect.poll(() => supervisor.status().droppedFrames, PATIENCE).toBe(1);
    expect(supervisor.status()).toMatchObject({ state: "ready", generation: 1 });
    await runTask(supervisor);
  });

  test("counts the connections that it refused", async () => {
    const { supervisor, endpoint } = await startOverTcp();

    await speak({ endpoint }, null, "hello?");

    await expect.poll(() => supervisor.status().refusedConnections, PATIENCE).toBeGreaterThan(0);
    expect(supervisor.status()).toMatchObject({ state: "ready", droppedFrames: 0 });
  });

  test("fails for good on an address that is not of this machine", async () => {
    const { supervisor } = createSetup("normal", { transport: { ...TCP, host: "192.0.2.1" } });
    supervisor.start();

    const status = await waitForStatus(supervisor, ({ state }) => state === "failed");

    expect(status.lastFailure?.reason).toContain("cannot listen on tcp://192.0.2.1:*");
  });
});
