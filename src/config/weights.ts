import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import type { ModelVersion } from "./flags.js";

/** Where the Hugging Face tools publish each model. Mega in half precision is not published there. */
const HUB_MODELS: Readonly<Partial<Record<ModelVersion, string>>> = {
  Mini: "dalle-mini/dalle-mini",
  Mega_full: "dalle-mini/dalle-mega",
};
const HUB_VQGAN = "dalle-mini/vqgan_imagenet_f16_16384";
const WEIGHTS_FILE = "flax_model.msgpack";

export interface WeightsPlaces {
  readonly packageRoot: string;
  /** The Hugging Face cache: the folder that holds `models--owner--name` folders. */
  readonly hubCache: string;
}

export interface Weights {
  readonly checkpoint: string;
  /** Null when the VQGAN lies with the checkpoint. */
  readonly vqgan: string | null;
}

/** Finds the weights of a model version on this machine, or null. Nothing is downloaded. */
export function findWeights(version: ModelVersion, places: WeightsPlaces): Weights | null {
  const embedded = path.join(places.packageRoot, "checkpoints", version.toLowerCase());
  if (existsSync(path.join(embedded, WEIGHTS_FILE))) return { checkpoint: embedded, vqgan: null };
  const hubName = HUB_MODELS[version];
  if (hubName === undefined) return null;
  const checkpoint = findSnapshot(places.hubCache, hubName);
  const vqgan = findSnapshot(places.hubCache, HUB_VQGAN);
  return checkpoint === null || vqgan === null ? null : { checkpoint, vqgan };
}

function findSnapshot(hubCache: string, hubName: string): string | null {
  const folder = path.join(hubCache, `models--${hubName.replaceAll("/", "--")}`, "snapshots");
  const revisions = existsSync(folder) ? readdirSync(folder).sort() : [];
  const found = revisions.find((revision) => existsSync(path.join(folder, revision, WEIGHTS_FILE)));
  return found === undefined ? null : path.join(folder, found);
}
