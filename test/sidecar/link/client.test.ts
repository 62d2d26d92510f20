import { describe, expect, onTestFinished, test } from "vitest";
import { AppError } from "../../../src/errors.js";
import { SidecarClient } from "../../../src/sidecar/link/client.js";
import type { Failure } from "../../../src/sidecar/failure.js";
import { decodeDown, encode } from "../../../src/wire/frames.js";
import type { DownMessage, Ready, SidecarConfig, UpMessage } from "../../../src/wire/messages.js";
import { CONFIG, createTask, never } from "../support.js";

const config = { ...CONFIG, beatIntervalMs: 1_000 };
const hello: UpMessage = {
  type: "HELLO",
  build: "0.1.0",
  pid: 4711,
  generation: 3,
  token: "secret",
};
const ready: Ready = {
  type: "READY",
  slots: 2,
  imageWidth: 2,
  imageHeight: 1,
  imageTokens: 16,
  device: "cpu:0",
  memoryBytes: null,
  precision: "float32",
  checkpointHash: "0".repeat(64),
  phaseSeconds: {},
  sampling: {
    defaults: { condScale: 10, temperature: 1, topK: 50, topP: 1 },
    limits: { condScale: [0, 100], temperature: [0.01, 10], topK: [0, 16_384], topP: [0.01, 1] },
  },
};

/** A client with nothing at its other end: what it sends and says is kept. */
function createClient(prefetch: number | null = 0, given: SidecarConfig = config) {
  const sent: DownMessage[] = [];
  const said: string[] = [];
  const failures: Failure[] = [];
  const client = new SidecarClient({
    generation: 3,
    token: "secret",
    config: given,
    prefetch,
    acceptLimitMs: 60_000,
    send: async (message) => {
      const copy = decodeDown(encode(message));
      if (copy !== null) sent.push(copy);
      await Promise.resolve();
    },
    onWelcomed: () => said.push("welcomed"),
    onPhase: ({ name }) => said.push(name),
    onReady: () => said.push("ready"),
    onBeat: ({ sequence }) => said.push(`beat ${sequence}`),
    onFreed: () => said.push("freed"),
    onFailure: (failure) => failures.push(failure),
  });
  onTestFinished(() => {
    client.close(new AppError("shutting_down", "The test is over."));
  });
  const receive = (message: UpMessage) => {
    client.receive(encode(message));
  };
  return { client, sent, said, failures, receive };
}

function createReadyClient(prefetch: number | null = 0) {
  const created = createClient(prefetch);
  created.receive(hello);
  created.receive(ready);
  return created;
}

function createImage(taskId: string, attempt = 1): UpMessage {
  const payload = new Uint8Array([1, 2, 3, 4, 5, 6]);
  const counts = { textTokens: 3, imageTokens: 16, seconds: 0.5 };
  return { type: "IMAGE", taskId, attempt, width: 2, height: 1, seed: 7, ...counts, payload };
}

describe("the handshake", () => {
  test("answers HELLO with the configuration, then follows the phases to READY", () => {
    const { client, sent, said, failures, receive } = createClient();
    expect(client.freeSeats()).toBe(0);

    receive(hello);
    receive({ type: "PHASE", name: "load", done: 1, total: 2, unit: "files" });
    receive(ready);

    expect(sent).toEqual([{ type: "WELCOME", config }]);
    expect(said).toEqual(["welcomed", "load", "ready", "freed"]);
    expect(client.freeSeats()).toBe(2);
    expect(failures).toEqual([]);
  });

  test.each<[string, UpMessage, string]>([
    ["a wrong token", { ...hello, token: "guess" }, "handshake_refused"],
    ["no token", { ...hello, token: "" }, "handshake_refused"],
    ["another generation", { ...hello, generation: 2 }, "handshake_refused"],
    ["READY before HELLO", ready, "protocol_error"],
  ])("refuses %s", (_title, message, code) => {
    const { client, sent, failures, receive } = createClient();

    receive(message);

    expect(failures).toMatchObject([{ code, isPermanent: false }]);
    expect(sent).toEqual([]);
    expect(client.freeSeats()).toBe(0);
  });

  test.each([
    ["HELLO", hello],
    ["READY", ready],
  ])("refuses a second %s", (type, message) => {
    const { failures, receive } = createReadyClient();

    receive(message);

    expect(failures).toMatchObject([{ code: "protocol_error" }]);
    expect(failures[0]?.message).toContain(`malformed ${type}: type: expected one ${type}`);
  });

  test("takes a configuration that cannot be sent for a permanent failure", async () => {
    const { failures, receive } = createClient(0, { ...config, slots: 0 });

    receive(hello);

    await expect.poll(() => failures).toMatchObject([{ isPermanent: true }]);
    expect(failures[0]?.message).toContain("malformed WELCOME: config.slots");
  });
});

describe("a task", () => {
  test("is sent with all that is needed to make it", () => {
    const { client, sent } = createReadyClient();
    const sampling = { condScale: 7.5, temperature: null, topK: 0, topP: 0.9 };

    const image = client.tasks.run(
      createTask({ taskId: "t", attempt: 2, seed: 9, sampling, deadlineInMs: 1500.2 }),
      { signal: never() },
    );

    image.catch(() => undefined);
    expect(sent.at(-1)).toEqual({
      type: "GENERATE",
      taskId: "t",
      attempt: 2,
      prompt: "a red circle",
      seed: 9,
      sampling,
      previewEvery: 0,
      deadlineInMs: 1501,
    });
  });

  test("ends with its own image, whatever the order of the answers", async () => {
    const { client, receive } = createReadyClient();
    const first = client.tasks.run(createTask({ taskId: "a" }), { signal: never() });
    const second = client.tasks.run(createTask({ taskId: "b" }), { signal: never() });

    receive({ type: "ACCEPTED", taskId: "a", attempt: 1 });
    receive(createImage("b"));
    receive(createImage("a"));

    expect(await first).toMatchObject({ width: 2, height: 1, seed: 7 });
    expect([...(await second).rgb]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(client.tasks.finishedCount).toBe(2);
    expect(client.droppedCount).toBe(0);
  });

  test.each<[string, UpMessage]>([
    ["of a former attempt", createImage("a", 1)],
    ["of a task that is unknown", createImage("z", 2)],
    ["that accepts an unknown task", { type: "ACCEPTED", taskId: "z", attempt: 1 }],
  ])("drops and counts an answer %s", (_title, answer) => {
    const { client, failures, receive } = createReadyClient();
    const options = { signal: never() };
    client.tasks.run(createTask({ taskId: "a", attempt: 2 }), options).catch(() => undefined);

    receive(answer);

    expect(client.droppedCount).toBe(1);
    expect(client.tasks.size).toBe(1);
    expect(failures).toEqual([]);
  });

  test("that is cancelled keeps its seat until the sidecar lets go of it", async () => {
    const { client, sent, said, receive } = createReadyClient();
    const abort = new AbortController();
    const image = client.tasks.run(createTask({ taskId: "a" }), { signal: abort.signal });

    abort.abort();

    await expect(image).rejects.toMatchObject({ code: "cancelled" });
    expect(sent.at(-1)).toEqual({ type: "CANCEL", taskId: "a" });
    expect(client.freeSeats()).toBe(1);
    receive(createImage("a"));
    expect(client.freeSeats()).toBe(2);
    expect(client.droppedCount).toBe(0);
    expect(said.at(-1)).toBe("freed");
  });

  test("cannot run twice at the same time", async () => {
    const { client } = createReadyClient();
    const task = createTask();
    const first = client.tasks.run(task, { signal: never() });
    first.catch(() => undefined);

    const second = client.tasks.run(task, { signal: never() });

    await expect(second).rejects.toMatchObject({ code: "internal_error" });
    expect(client.tasks.size).toBe(1);
  });

  test("that a draining sidecar rejects is given back, and no more are sent", async () => {
    const { client, receive } = createReadyClient();
    const image = client.tasks.run(createTask({ taskId: "a" }), { signal: never() });

    receive({ type: "REJECTED", taskId: "a", attempt: 1, code: "draining", message: "bye" });

    await expect(image).rejects.toMatchObject({ code: "task_returned" });
    expect(client.freeSeats()).toBe(0);
  });

  test("ends with the error of the one who closes", async () => {
    const { client } = createReadyClient();
    const image = client.tasks.run(createTask(), { signal: never() });

    client.close(new AppError("sidecar_lost", "It is gone."));

    await expect(image).rejects.toMatchObject({ code: "sidecar_lost", message: "It is gone." });
    expect(client.tasks.size).toBe(0);
  });
});

describe("seats", () => {
  test.each([
    [0, 2],
    [1, 3],
    [null, 4],
  ])("with a prefetch of %j are %d", (prefetch, seats) => {
    expect(createReadyClient(prefetch).client.freeSeats()).toBe(seats);
  });

  test("end with BYE and with DRAIN", async () => {
    const ending = createReadyClient();
    ending.receive({ type: "BYE", reason: "drained" });
    const drained = createReadyClient();
    await drained.client.drain();

    expect(ending.client.freeSeats()).toBe(0);
    expect(drained.client.freeSeats()).toBe(0);
    expect(drained.sent.at(-1)).toEqual({ type: "DRAIN" });
  });
});

describe("a failure of the whole sidecar", () => {
  test.each([
    ["checkpoint_not_found", false, true],
    ["hub_unreachable", true, false],
    ["a_code_of_a_later_release", false, true],
  ])("%s that is retryable: %j is permanent: %j", (code, retryable, isPermanent) => {
    const { failures, receive } = createClient();
    receive(hello);
    const failed = { code, message: "the reason", retryable };

    receive({ type: "FAILED", taskId: null, attempt: null, ...failed, fatal: true });

    expect(failures).toEqual([{ code, message: `${code}: the reason`, isPermanent }]);
  });
});
