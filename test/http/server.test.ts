import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { Agent, request, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createHttpServer } from "../../src/http/server.js";
import { ImageStore, type SaveRequest } from "../../src/images/store.js";
import { FakeRunner } from "../support/fake-runner.js";
import { startTestServer, type TestServer } from "../support/test-server.js";
import { containing, matching } from "../support/matchers.js";

const BODY = JSON.stringify({ text: "a red circle", num_images: 3 });

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

/** A store that tells when it has saved for the first time. */
class NotingStore extends ImageStore {
  #note: (folder: string) => void = () => undefined;
  readonly saved = new Promise<string>((resolve) => (this.#note = resolve));

  override async save(request: SaveRequest): Promise<string> {
    const folder = await super.save(request);
    this.#note(folder);
    return folder;
  }
}

describe("a caller who leaves", () => {
  let server: TestServer;
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "dalle-test-"));
  });
  afterEach(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  function postAndLeave(): AbortController {
    const controller = new AbortController();
    const { signal } = controller;
    fetch(`${server.url}/dalle`, { method: "POST", body: BODY, signal }).catch(() => undefined);
    return controller;
  }

  test("cancels what runs and what waits", async () => {
    const runner = new FakeRunner({ seats: 1, isHolding: true });
    server = await startTestServer({ runner });
    const caller = postAndLeave();
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
    const store = new NotingStore(folder);
    server = await startTestServer({ runner, store });
    const caller = postAndLeave();
    await runner.untilStarted(3);
    caller.abort();
    await server.untilLogged("The caller left");
    for (let count = 0; count < 3; count += 1) runner.finishNext();
    expect(await readdir(await store.saved)).toHaveLength(3);
  });
});

describe("saving to disk", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "dalle-test-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  test("puts the answered images in a folder named after the time and the prompt", async () => {
    const server = await startTestServer({ store: new ImageStore(folder) });
    const response = await fetch(`${server.url}/dalle`, { method: "POST", body: BODY });
    const [name = "", ...others] = await readdir(folder);
    expect(response.status).toBe(200);
    expect(others).toEqual([]);
    expect(name).toMatch(/^\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_a red circle$/);
    expect((await readdir(path.join(folder, name))).sort()).toEqual(["0.jpeg", "1.jpeg", "2.jpeg"]);
    await server.close();
  });

  test("a disk that cannot be written costs no image, is logged and is counted", async () => {
    const file = path.join(folder, "a file where the folder should be");
    await writeFile(file, "");
    const server = await startTestServer({ store: new ImageStore(file) });
    const response = await fetch(`${server.url}/dalle`, { method: "POST", body: BODY });
    const answer: unknown = await response.json();
    const health = await fetch(`${server.url}/health_check`);
    expect(response.status).toBe(200);
    expect(answer).toMatchObject({ generatedImages: { length: 3 } });
    expect(await health.json()).toMatchObject({ saving: { savedCount: 0, failedCount: 3 } });
    expect(server.logLines.filter((line) => line["level"] === "error")).toMatchObject([
      { msg: containing("not saved") },
    ]);
    await server.close();
  });
});
