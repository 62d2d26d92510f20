import { writeFile } from "node:fs/promises";
import { Agent, request, type IncomingMessage } from "node:http";
import path from "node:path";
import { describe, expect, test, vi } from "vitest";
import { createHttpServer } from "../../src/http/server.js";
import { ImageStore } from "../../src/images/store.js";
import { FakeRunner } from "../support/fake-runner.js";
import { makeFolder } from "../support/folder.js";
import { containing, matching } from "../support/matchers.js";
import { startTestServer, type TestServer } from "../support/test-server.js";

const BODY = { text: "a red circle", num_images: 3 };

describe("listening", () => {
  test("a port in use is a sentence that names the port and the way out", async () => {
    const first = createHttpServer(() => undefined);
    const second = createHttpServer(() => undefined);
    const port = await first.listen(0, "127.0.0.1");
    await expect(second.listen(port, "127.0.0.1")).rejects.toMatchObject({
      code: "listen_failed",
      message: matching(new RegExp(`^Port ${port} .* already in use.*--port`)),
    });
    await first.close(0);
  });

  test("an address of another machine is a sentence that names --host", async () => {
    const server = createHttpServer(() => undefined);
    await expect(server.listen(0, "203.0.113.1")).rejects.toThrow(/203.0.113.1 .* --host/);
  });
});

describe("closing", () => {
  test("lets the answer in progress finish and does not wait for kept connections", async () => {
    const server = await startTestServer({ runner: new FakeRunner({ isHolding: true }) });
    const agent = new Agent({ keepAlive: true });
    const call = request(`${server.url}/dalle`, { method: "POST", agent });
    call.end(JSON.stringify({ text: "a" }));
    await server.runner.untilStarted(1);
    // `close` fails what still runs, so the answer comes while the server is closing.
    const closed = server.close();
    const answer = await new Promise<IncomingMessage>((resolve) => call.on("response", resolve));
    expect(answer.statusCode).toBe(503);
    answer.resume();
    await closed;
    agent.destroy();
  });
});

describe("a caller who leaves", () => {
  function postAndLeave(server: TestServer): AbortController {
    const controller = new AbortController();
    server.post(BODY, { signal: controller.signal }).catch(() => undefined);
    return controller;
  }

  test("cancels what runs and what waits", async () => {
    const runner = new FakeRunner({ seats: 1, isHolding: true });
    const server = await startTestServer({ runner });
    const caller = postAndLeave(server);
    await runner.untilStarted(1);
    const cancelled = new Promise((resolve) => {
      runner.held[0]?.options.signal.addEventListener("abort", resolve);
    });
    caller.abort();
    await cancelled;
    expect(server.queue.report()).toMatchObject({
      openJobs: 0,
      waitingImages: 0,
      cancelledJobs: 1,
    });
    expect(runner.started).toHaveLength(1);
  });

  test("still gets the images saved when saving is on", async () => {
    const runner = new FakeRunner({ seats: 3, isHolding: true });
    const store = new ImageStore(makeFolder());
    const server = await startTestServer({ runner, store });
    const caller = postAndLeave(server);
    await runner.untilStarted(3);
    caller.abort();
    await server.untilLogged({ msg: "The caller left" });
    await runner.finishInTurn(3);
    await vi.waitFor(() => {
      expect(store.report()).toMatchObject({ savedCount: 3, waitingCount: 0 });
    });
  });
});

test("a disk that cannot be written costs no image, is logged and is counted", async () => {
  const file = path.join(makeFolder(), "a file where the folder should be");
  await writeFile(file, "");
  const server = await startTestServer({ store: new ImageStore(file) });
  const response = await server.post(BODY);
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ generatedImages: { length: 3 } });
  const health = await fetch(`${server.url}/health_check`);
  expect(await health.json()).toMatchObject({ saving: { savedCount: 0, failedCount: 3 } });
  expect(server.logLines.filter((line) => line["level"] === "error")).toMatchObject([
    { msg: containing("not saved") },
  ]);
});
