import { existsSync } from "node:fs";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Dealer } from "zeromq";
import { bindTransport, type Transport } from "../../../src/sidecar/link/transport.js";
import { makeFolder } from "../../support/folder.js";

interface Arrived {
  readonly peer: string;
  readonly frames: string[];
}

/** A bound transport and everything that has arrived. */
async function bind() {
  const socketPath = path.join(makeFolder(), "s");
  const arrived: Arrived[] = [];
  const transport = await bindTransport(socketPath, (peer, frames) => {
    arrived.push({ peer, frames: frames.map((frame) => Buffer.from(frame).toString()) });
  });
  onTestFinished(() => transport.close());
  return { transport, socketPath, arrived };
}

/** A peer that has said hello, so that the transport can reach it. */
async function connect(transport: Transport, arrived: Arrived[], name: string): Promise<Dealer> {
  const dealer = new Dealer({ routingId: name, linger: 0 });
  onTestFinished(() => {
    dealer.close();
  });
  dealer.connect(transport.endpoint);
  await dealer.send(["hello"]);
  await expect.poll(() => arrived.some(({ peer }) => peer === name)).toBe(true);
  return dealer;
}

describe("the transport", () => {
  test("carries frames both ways", async () => {
    const { transport, arrived } = await bind();
    const dealer = await connect(transport, arrived, "a");

    await transport.send("a", [Buffer.from("one"), Buffer.from("two")]);

    const frames = await dealer.receive();
    expect(frames.map((frame) => frame.toString())).toEqual(["one", "two"]);
    expect(arrived).toEqual([{ peer: "a", frames: ["hello"] }]);
  });

  test("takes many sends at once and keeps their order", async () => {
    const { transport, arrived } = await bind();
    const dealer = await connect(transport, arrived, "a");
    const numbers = Array.from({ length: 200 }, (_, index) => String(index));

    await Promise.all(numbers.map((number) => transport.send("a", [Buffer.from(number)])));

    const received: string[] = [];
    for await (const [frame] of dealer) {
      if (received.push(String(frame)) === numbers.length) break;
    }
    expect(received).toEqual(numbers);
  });

  test("refuses at once to send to a peer that it does not know, and sends on to others", async () => {
    const { transport, arrived } = await bind();
    const dealer = await connect(transport, arrived, "a");
    const unreachable = { name: "TransportError", code: "peer_unreachable" };
    const failed = expect(transport.send("b", [Buffer.from("x")])).rejects.toMatchObject(
      unreachable,
    );

    await transport.send("a", [Buffer.from("y")]);

    await failed;
    expect(String((await dealer.receive())[0])).toBe("y");
  });

  test("sends what a buffer held, not what is written into it afterwards", async () => {
    const { transport, arrived } = await bind();
    const dealer = await connect(transport, arrived, "a");
    const buffer = Buffer.alloc(100_000, "a");

    await transport.send("a", [buffer]);
    buffer.fill("b");

    expect((await dealer.receive())[0]?.subarray(0, 3).toString()).toBe("aaa");
  });

  test("says that a peer is busy instead of waiting for it", async () => {
    const { transport, arrived } = await bind();
    await connect(transport, arrived, "a");
    // More than both high-water marks and the socket buffers hold; they are not read.
    const sends = Array.from({ length: 4000 }, () => transport.send("a", [Buffer.alloc(4096)]));

    const results = await Promise.allSettled(sends);

    const failed = results.find((result) => result.status === "rejected");
    expect(failed).toMatchObject({ reason: { code: "peer_busy" } });
  });

  test("refuses a path that is too long for a socket, with the remedy", async () => {
    const socketPath = path.join(makeFolder(), "s".repeat(120));

    const bound = bindTransport(socketPath, () => undefined);

    await expect(bound).rejects.toMatchObject({ code: "path_too_long" });
    await expect(bound).rejects.toThrow(/may have 107; set TMPDIR to a shorter folder/);
  });

  test("says why it cannot bind", async () => {
    const bound = bindTransport("/nowhere/at/all/s", () => undefined);

    await expect(bound).rejects.toMatchObject({ code: "bind_failed" });
  });

  test("leaves no socket behind, and nothing can be sent afterwards", async () => {
    const { transport, socketPath } = await bind();
    expect(existsSync(socketPath)).toBe(true);

    await transport.close();
    await transport.close();

    expect(existsSync(socketPath)).toBe(false);
    await expect(transport.send("a", [])).rejects.toMatchObject({ code: "closed" });
  });
});
