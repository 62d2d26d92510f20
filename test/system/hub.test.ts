/** The built server with the real sidecar and a checkpoint that it has to fetch first. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import sharp from "sharp";
import { expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { runServer } from "../harness/built-server.mjs";
import { FakeHub } from "../support/fake-hub.js";
import { startServer } from "../support/server.js";

const FIRST_COMPILE_LIMIT_MS = 300_000;
const TINY = [
  ...["--checkpoint", "hf:tiny/mini", "--vqgan", "hf:tiny/vqgan"],
  ...["--slots", "1", "--cache_dir", "none"],
];
const answerSchema = z.object({ generatedImages: z.array(z.base64()) });

async function startHub(faults?: object): Promise<FakeHub> {
  const hub = await FakeHub.start(faults);
  onTestFinished(() => hub.dispose());
  return hub;
}

test(
  "a checkpoint of the hub is fetched, shown while it comes, loaded and drawn with",
  async () => {
    const gate = "{folder}/gate";
    const { env, folder } = await startHub({
      "tiny/mini/flax_model.msgpack": { holdAfter: 400_000, gate },
    });
    const server = await startServer({ env, flags: TINY });
    const { sidecar } = await server.untilHealth(
      (health) => health.sidecar.phase?.name === "download",
    );
    expect(sidecar.phase).toMatchObject({ unit: "bytes", total: 3_254_482 });
    await writeFile(path.join(folder, "gate"), "");
    await server.untilReady();
    const response = await server.post({ text: "a red circle" });
    const { generatedImages } = answerSchema.parse(await response.json());
    const { width } = await sharp(Buffer.from(generatedImages[0] ?? "", "base64")).metadata();
    expect(width).toBe(64);
  },
  FIRST_COMPILE_LIMIT_MS,
);

test("a hub that refuses is a permanent failure with what to do", async () => {
  const { env } = await startHub({ "tiny/mini": { status: 401 } });
  const server = await startServer({ env, flags: TINY });
  const { sidecar } = await server.untilHealth(({ state }) => state === "failed");
  expect(sidecar.lastFailure).toMatchObject({ code: "hub_refused" });
  expect(sidecar.lastFailure?.reason).toContain("set HF_TOKEN");
});

test("a hub in trouble is asked again after a pause", async () => {
  const { env } = await startHub({ "tiny/mini": { status: 503 } });
  const server = await startServer({ env, flags: TINY });
  const { sidecar } = await server.untilHealth((health) => health.sidecar.generation >= 2);
  expect(sidecar.lastFailure).toMatchObject({ code: "hub_unreachable" });
});

test("pull fetches without serving, and says where it is", async () => {
  const { env } = await startHub();
  const flags = ["pull", "hf:tiny/mini", "--vqgan", "hf:tiny/vqgan"];
  const first = await runServer(flags, env);
  const second = await runServer(flags, { ...env, HF_HUB_OFFLINE: "1" });
  expect([first.code, second.code]).toEqual([0, 0]);
  expect(first.stdout).toContain("to fetch: 3.25 MB");
  expect(second.stdout.trim().split("\n")).toEqual([
    expect.stringContaining("models--tiny--mini"),
    expect.stringContaining("models--tiny--vqgan"),
  ]);
});

test("pull of what does not exist says so and fails", async () => {
  const { env } = await startHub();
  const { code, stdout } = await runServer(["pull", "hf:tiny/nothing"], env);
  expect(code).toBe(3);
  expect(stdout).toContain("there is no model tiny/nothing");
});
