/** The built server over the fake sidecar: its flags, its commands, and what it leaves. */
import { describe, expect, test } from "vitest";
import { runServer, type Health } from "../harness/built-server.mjs";
import { startFake } from "../support/server.js";

function areReady(wanted: number) {
  return ({ sidecars }: Health) =>
    sidecars.every(({ generation, state }) => generation === wanted && state === "ready");
}

describe("--sidecar_transport tcp", () => {
  test("serves over an encrypted port of this machine, and leaves nothing behind", async () => {
    const running = await startFake("", "--sidecar_transport", "tcp", "--sidecars", "2");
    await running.untilHealth(areReady(1));

    const answer = await running.post({ text: "a", num_images: 6 });

    expect(answer.status).toBe(200);
    expect(await running.stop()).toBe(0);
    expect(await running.listTemporary()).toEqual([]);
    expect(running.orders.listRunning()).toEqual([]);
  });
});

describe("SIGHUP", () => {
  test("restarts every sidecar while requests are served, and ends nothing", async () => {
    const running = await startFake("", "--sidecars", "2");
    await running.untilHealth(areReady(1));

    running.kill("SIGHUP");

    const over = new AbortController();
    const renewed = running.untilHealth(areReady(2)).finally(() => {
      over.abort();
    });
    const statuses = new Set<number>();
    while (!over.signal.aborted)
      statuses.add((await running.post({ text: "a", num_images: 2 })).status);
    await renewed;
    expect([...statuses]).toEqual([200]);
    expect(await running.stop()).toBe(0);
    expect(await running.listTemporary()).toEqual([]);
  });
});

describe("what cannot be started", () => {
  test("a port in use is one sentence and exit code 1", async () => {
    const { url, folder } = await startFake();
    const port = new URL(url).port;
    const flags = ["--port", port, "--host", "127.0.0.1", "--checkpoint", folder];
    const second = await runServer(flags);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`Port ${port} on 127.0.0.1 is already in use.`);
    expect(second.stderr).not.toContain("    at ");
  });

  test("wrong settings are listed, with exit code 2 and no stack", async () => {
    const { code, stderr } = await runServer(["--prot", "1", "--img_format", "gif"]);
    expect(code).toBe(2);
    expect(stderr).toContain("did you mean --port?");
    expect(stderr).toContain("one of JPEG, PNG, WEBP");
    expect(stderr).not.toContain("    at ");
  });

  test.each([
    [["--help"], "turns text into pictures over HTTP"],
    [["--help", "all"], "--backoff_cap"],
    [["--version"], "."],
    [["models"], "npm start -- pull NAME"],
  ])("%j prints and ends with code 0", async (argv, text) => {
    const { code, stdout, stderr } = await runServer(argv);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(text);
  });
});
