/** Which models' files are on this machine. */
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import {
  addressOf,
  KNOWN_MODELS,
  KNOWN_VQGAN,
  type HubModel,
  type ModelVersion,
} from "./published.js";
import { findWeightFiles } from "./weight-files.js";

const CONFIG_FILE = "config.json";
/** Either of these is a tokenizer. */
const TOKENIZERS = [["tokenizer.json"], ["vocab.json", "merges.txt"]] as const;

export interface WeightsPlaces {
  readonly packageRoot: string;
  /** The Hugging Face cache: the folder that holds `models--owner--name` folders; null without a home. */
  readonly hubCache: string | null;
}

export interface CheckpointPlaces {
  readonly checkpoint: string;
  /** Null when the VQGAN is in the folder of the checkpoint. */
  readonly vqgan: string | null;
}

/** Finds the weights of a model version on this machine, or null. Nothing is fetched. */
export function findWeights(version: ModelVersion, places: WeightsPlaces): CheckpointPlaces | null {
  const embedded = path.join(places.packageRoot, "checkpoints", version.toLowerCase());
  if (findWeightFiles(embedded) !== null) return { checkpoint: embedded, vqgan: null };
  if (version === "Nano") return null;
  const checkpoint = findSnapshot(places.hubCache, KNOWN_MODELS[version], hasTokenizer);
  const vqgan = findSnapshot(places.hubCache, KNOWN_VQGAN, () => true);
  return checkpoint === null || vqgan === null ? null : { checkpoint, vqgan };
}

/** The addresses that the sidecar fetches a model version from. */
export function nameSources(version: Exclude<ModelVersion, "Nano">): CheckpointPlaces {
  return { checkpoint: addressOf(KNOWN_MODELS[version]), vqgan: addressOf(KNOWN_VQGAN) };
}

/** The folder of a complete snapshot: of the checked commit, or else of any other that is there. */
function findSnapshot(
  hubCache: string | null,
  { repo, revision }: HubModel,
  isComplete: (folder: string) => boolean,
): string | null {
  if (hubCache === null) return null;
  const folder = path.join(hubCache, `models--${repo.replaceAll("/", "--")}`, "snapshots");
  const others = existsSync(folder) ? readdirSync(folder).sort() : [];
  const candidates = [revision, ...others].map((name) => path.join(folder, name));
  const found = candidates.find(
    (candidate) =>
      hasAll(candidate, [CONFIG_FILE]) &&
      isComplete(candidate) &&
      findWeightFiles(candidate) !== null,
  );
  return found ?? null;
}

function hasTokenizer(folder: string): boolean {
  return TOKENIZERS.some((names) => hasAll(folder, names));
}

function hasAll(folder: string, names: readonly string[]): boolean {
  return names.every((name) => existsSync(path.join(folder, name)));
}
