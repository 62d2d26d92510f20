/** Which model is served, and from where. */
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { Machine, type Env } from "../support/machine.js";

const MINI = "dalle-mini/dalle-mini";
const MINI_ADDRESS = "hf:dalle-mini/dalle-mini@c8e67bc58edda0333009fa358752ca2dca56bc40";
const VQGAN = "dalle-mini/vqgan_imagenet_f16_16384";
const VQGAN_COMMIT = "e93a26e7707683d349bf5d5c41c5b0ef69b677a9";

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});

/** The model that some flags and variables choose, with what the log says of it. */
function choose(argv: readonly string[], env: Env = {}) {
  const { modelNote, service, sidecar } = machine.read(argv, env);
  return { ...sidecar.config, modelVersion: service.modelVersion, modelNote };
}

describe("the model", () => {
  test("is Nano when no weights of Mini are here, and the log says why", () => {
    const { modelNote, ...chosen } = choose([]);
    expect(modelNote).toContain("not on this machine");
    expect(chosen).toMatchObject({
      modelVersion: "Nano",
      checkpoint: path.join(machine.packageRoot, "checkpoints", "nano"),
      vqgan: null,
    });
  });

  test("is Mini when its folder is in the package", () => {
    const mini = machine.addEmbedded("mini");
    expect(choose([])).toMatchObject({ modelVersion: "Mini", checkpoint: mini });
    expect(choose(["--model_version", "nano"]).modelVersion).toBe("Nano");
  });

  const caches: readonly (readonly [string, Readonly<Record<string, string>>, string])[] = [
    ["home", {}, "home/.cache/huggingface/hub"],
    ["XDG_CACHE_HOME", { XDG_CACHE_HOME: "xdg" }, "xdg/huggingface/hub"],
    ["HF_HOME", { HF_HOME: "hf" }, "hf/hub"],
    ["HF_HUB_CACHE", { HF_HUB_CACHE: "cache" }, "cache"],
  ];
  test.each(caches)(
    "is Mini with its VQGAN when the Hugging Face cache has both: %s",
    (_name, env, cache) => {
      const hub = path.join(machine.root, cache);
      const at: Env = {};
      for (const [name, place] of Object.entries(env)) at[name] = path.join(machine.root, place);
      const checkpoint = machine.addSnapshot(MINI, { hub });
      expect(choose([], at).modelVersion).toBe("Nano");
      const vqgan = machine.addSnapshot(VQGAN, { hub });
      expect(choose([], at)).toMatchObject({ modelVersion: "Mini", checkpoint, vqgan });
    },
  );

  test("is not Mini when its folder has no weights", async () => {
    await mkdir(path.join(machine.packageRoot, "checkpoints", "mini"));
    expect(choose([]).modelVersion).toBe("Nano");
  });

  test("is not Mini when the cache has only a part of it", () => {
    machine.addSnapshot(VQGAN);
    machine.addSnapshot(MINI, { files: ["config.json", "flax_model.msgpack"] });
    expect(choose([]).modelVersion).toBe("Nano");
  });

  test("is of the checked commit when the cache has several", () => {
    const vqgan = machine.addSnapshot(VQGAN, { commit: VQGAN_COMMIT });
    machine.addSnapshot(VQGAN, { commit: "0".repeat(40) });
    const checkpoint = machine.addSnapshot(MINI);
    expect(choose([])).toMatchObject({ modelVersion: "Mini", checkpoint, vqgan });
  });

  test("is fetched when it is asked for and not here", () => {
    const { modelNote, ...chosen } = choose(["--model_version", "mini"]);
    expect(modelNote).toContain("what is missing of 2.06 GB is fetched first");
    expect(chosen).toMatchObject({
      modelVersion: "Mini",
      checkpoint: MINI_ADDRESS,
      vqgan: `hf:${VQGAN}@${VQGAN_COMMIT}`,
      precision: "auto",
    });
  });

  test("Mega is Mega_full in 16 bits unless a precision is given, and the log says so", () => {
    const mega = choose(["--model_version", "Mega"]);
    const full = choose(["--model_version", "Mega_full"]);
    expect(mega.checkpoint).toBe(full.checkpoint);
    expect([mega.precision, full.precision]).toEqual(["bfloat16", "auto"]);
    expect(mega.modelNote).toContain("Mega_full's weights are served, in 16 bits");
    expect(choose(["--model_version", "Mega", "--precision", "float32"]).precision).toBe("float32");
  });

  test("of the hub is an address, with the VQGAN and the commits that are known", () => {
    expect(choose(["--checkpoint", `hf:${MINI}`]).checkpoint).toBe(MINI_ADDRESS);
    expect(choose(["--checkpoint", "hf:me/mine@v2"])).toMatchObject({
      modelVersion: "Custom",
      checkpoint: "hf:me/mine@v2",
      vqgan: `hf:${VQGAN}@${VQGAN_COMMIT}`,
    });
    expect(choose(["--checkpoint", "hf:me/mine", "--vqgan", "hf:me/vqgan"]).vqgan).toBe(
      "hf:me/vqgan",
    );
  });

  test("may be a W&B artifact folder, whose name has a colon", async () => {
    const artifact = path.join(machine.root, "artifacts", "mini-1:v0");
    await mkdir(artifact, { recursive: true });
    expect(choose(["--checkpoint", "artifacts/mini-1:v0"])).toMatchObject({
      checkpoint: artifact,
      vqgan: null,
    });
  });

  test("has to be given when the package has none", async () => {
    await rm(path.join(machine.packageRoot, "checkpoints"), { recursive: true });
    expect(() => choose([])).toThrow(
      "no model is on this machine: pass --checkpoint FOLDER, or --model_version Mini",
    );
  });

  test("is the folder that was given, under the name that was given", async () => {
    const mine = path.join(machine.root, "mine");
    await mkdir(mine);
    expect(choose(["--checkpoint", "mine"])).toMatchObject({
      modelVersion: "Custom",
      checkpoint: mine,
    });
    expect(
      choose(["--checkpoint", mine, "--model_version", "mega_full", "--vqgan", "mine"]),
    ).toMatchObject({
      modelVersion: "Mega_full",
      checkpoint: mine,
      vqgan: mine,
      modelNote: null,
    });
  });
});
