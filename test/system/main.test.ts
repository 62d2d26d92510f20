/** The built server over the fake sidecar: what it says, answers and leaves from its start to its end. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { runServer, type Health } from "../harness/built-server.mjs";
import { startFake } from "../support/server.js";

describe("starting", () => {
  test("logs the lines of the specification and makes pictures", async () => {
    const running = await startFake();
    await running.untilReady();
    const response = await running.post({ text: "a red circle", num_images: 3 });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ generatedImages: { length: 3 } });
    // The answer may be here before the line.
    await running.untilLogged("Created 3 images from text prompt [a red circle]");
    expect(running.messages).toEqual(
      expect.arrayContaining([
        "--> Starting DALL-E Server",
        "--> Model selected - DALL-E Custom",
        "--> DALL-E Server is up and running!",
      ]),
    );
  });
});

describe("a sidecar that is killed during a request", () => {
  test("is not noticed by the client, then and afterwards", async () => {
    const held = await startFake("--gate {folder}/gate");
    await held.untilReady();
    const answer = held.post({ text: "a red circle", num_images: 2, seed: 5 });
    const { sidecar } = await held.untilHealth(({ queue }) => queue.runningImages === 2);
    process.kill(sidecar.pid ?? Number.NaN, "SIGKILL");
    await writeFile(path.join(held.folder, "gate"), "");
    const response = await answer;
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ seeds: [5, 6] });
    expect((await held.health()).sidecar.generation).toBe(2);
    expect((await held.post({ text: "next" })).status).toBe(200);
  });
});

describe("--sidecar_transport tcp", () => {
  test("serves over an encrypted port of this machine, and leaves nothing behind", async () => {
    const running = await startFake("", "--sidecar_transport", "tcp", "--sidecars", "2");
    await running.untilHealth(({ sidecars }) => sidecars.every(({ state }) => state === "ready"));

    const answer = await running.post({ text: "a", num_images: 6 });

    expect(answer.status).toBe(200);
    expect(await running.stop()).toBe(0);
    expect(await running.listTemporary()).toEqual([]);
  });
});

describe("SIGHUP", () => {
  test("restarts every sidecar while requests are served, and ends nothing", async () => {
    const running = await startFake("", "--sidecars", "2");
    await running.untilHealth(({ sidecars }) => sidecars.every(({ state }) => state === "ready"));

    running.kill("SIGHUP");

    const isRenewed = ({ sidecars }: Health) =>
      sidecars.every(({ generation, state }) => generation === 2 && state === "ready");
    const over = new AbortController();
    const renewed = running.untilHealth(isRenewed).finally(() => {
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

describe("a prompt that ends every sidecar that reads it", () => {
  test("is answered with an error that says so, then refused, and harms no other", async () => {
    const running = await startFake("--fault sigkill --at poison", "--sidecars", "2");
    await running.untilReady();
    const good = Array.from({ length: 5 }, () => running.post({ text: "good", num_images: 4 }));

    const bad = await running.post({ text: "poison" });

    expect(bad.status).toBe(500);
    expect(bad.headers.get("x-should-retry")).toBe("false");
    expect(await bad.json()).toMatchObject({ error: { code: "sidecar_crashed" } });
    expect((await Promise.all(good)).map(({ status }) => status)).toEqual(Array(5).fill(200));
    const again = await running.post({ text: "poison" });
    expect(again.status).toBe(422);
    expect(again.headers.get("x-should-retry")).toBe("false");
    expect(await again.json()).toMatchObject({ error: { code: "prompt_quarantined" } });
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
