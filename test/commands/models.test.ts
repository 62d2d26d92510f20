/** The table of models. */
import { truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { formatModels } from "../../src/commands/models.js";
import { findWeights } from "../../src/checkpoint/installed.js";
import { Machine } from "../support/machine.js";

const MINI = "dalle-mini/dalle-mini";
const VQGAN = "dalle-mini/vqgan_imagenet_f16_16384";
const SHARDS = ["flax_model-00001-of-00002.msgpack", "flax_model-00002-of-00002.msgpack"] as const;

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});

const placesOf = ({ packageRoot, hub }: Machine) => ({ packageRoot, hubCache: hub });

describe("models", () => {
  test("lists every version with its size, its memory and where it is", () => {
    const mini = machine.addSnapshot(MINI);
    machine.addSnapshot(VQGAN);
    const lines = formatModels(placesOf(machine), 8).split("\n");
    const [header, ...rows] = lines.slice(0, 5).map((line) => line.split(/ {2,}/));
    expect(header).toEqual(["model", "to fetch", "memory (8 slots)", "where"]);
    expect(rows).toEqual([
      ["Nano", "-", "under 1 GB", path.join(machine.packageRoot, "checkpoints", "nano")],
      ["Mini", "-", "2.9 GB in float32, 1.7 GB in bfloat16", `${mini} (0.0 GB)`],
      ["Mega", "10.7 GB", "6.8 GB in bfloat16", "not here (dalle-mini/dalle-mega)"],
      [
        "Mega_full",
        "10.7 GB",
        "13.0 GB in float32, 6.8 GB in bfloat16",
        "not here (dalle-mini/dalle-mega)",
      ],
    ]);
  });

  test("names commands that work after a clone", () => {
    expect(formatModels(placesOf(machine), 8)).toContain("npm start -- pull NAME");
  });

  test("gives a model of shards the size of all of them, and has it once all are there", async () => {
    const files = ["config.json", "tokenizer.json"];
    const mini = machine.addSnapshot(MINI, { files });
    machine.addSnapshot(VQGAN);
    const leaves = { "lm_head/kernel": SHARDS[1], "model/encoder/final_ln/bias": SHARDS[0] };
    const index = path.join(mini, "flax_model.msgpack.index.json");
    await writeFile(index, JSON.stringify({ weight_map: leaves }));
    for (const name of SHARDS) {
      expect(findWeights("Mini", placesOf(machine))).toBeNull();
      await writeFile(path.join(mini, name), "");
      await truncate(path.join(mini, name), 130_000_000);
    }
    expect(findWeights("Mini", placesOf(machine))).toMatchObject({ checkpoint: mini });
    expect(formatModels(placesOf(machine), 8)).toContain(`${mini} (0.3 GB)`);
  });
});
