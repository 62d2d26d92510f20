/** Decides which model is served, and where its files come from. */
import { statSync } from "node:fs";
import { createConfigError } from "../errors.js";
import { isHubAddress } from "./hub-address.js";
import {
  findWeights,
  nameSources,
  type CheckpointPlaces,
  type WeightsPlaces,
} from "./installed.js";
import {
  addressOf,
  KNOWN_MODELS,
  KNOWN_VQGAN,
  pinAddress,
  type ModelVersion,
  type Precision,
} from "./published.js";

/** What was asked for; null where nothing was. */
interface ModelWish {
  readonly version: ModelVersion | null;
  /** A folder, or a repository on the hub. */
  readonly checkpoint: string | null;
  readonly vqgan: string | null;
  readonly precision: Precision;
}

/** Which model is served, and from where. */
interface ResolvedModel {
  /** `Nano`, `Mini`, `Mega`, `Mega_full`, or `Custom` for a checkpoint given without a version. */
  readonly modelVersion: string;
  /** A folder, or `hf:owner/name@revision`, which the sidecar fetches. */
  readonly checkpoint: string;
  /** The same; null when the VQGAN is in the folder of the checkpoint. */
  readonly vqgan: string | null;
  readonly precision: Precision;
  /** What the log should say about the choice; null when there is nothing to say. */
  readonly note: string | null;
}

interface ModelPlaces extends WeightsPlaces {
  /** The absolute path of a folder as the user wrote it. */
  readonly toPath: (place: string) => string;
}

/**
 * Decides which model is served. Only a model that was asked for is ever fetched: without a wish it
 * is what this machine has.
 *
 * @throws AppError `config_invalid` when there is no such folder, or no model at all.
 */
export function resolveModel(wish: ModelWish, places: ModelPlaces): ResolvedModel {
  const { version, precision } = wish;
  const checkpoint = resolvePlace("--checkpoint", wish.checkpoint, places.toPath);
  const vqgan = resolvePlace("--vqgan", wish.vqgan, places.toPath);
  if (checkpoint !== null) {
    const ofHub = isHubAddress(checkpoint) ? addressOf(KNOWN_VQGAN) : null;
    const modelVersion = version ?? "Custom";
    return { modelVersion, checkpoint, vqgan: vqgan ?? ofHub, precision, note: null };
  }
  const choice = version === null ? chooseModel(places) : findOrFetch(version, places);
  const isHalved = choice.version !== "Nano" && KNOWN_MODELS[choice.version].isHalved;
  return {
    modelVersion: choice.version,
    checkpoint: choice.weights.checkpoint,
    vqgan: vqgan ?? choice.weights.vqgan,
    precision: isHalved && precision === "auto" ? "bfloat16" : precision,
    note: choice.note,
  };
}

interface Choice {
  readonly version: ModelVersion;
  readonly weights: CheckpointPlaces;
  readonly note: string | null;
}

function chooseModel(places: ModelPlaces): Choice {
  const mini = findWeights("Mini", places);
  if (mini !== null) {
    const note = "The weights of DALL-E Mini are on this machine, so they are served";
    return { version: "Mini", weights: mini, note };
  }
  const nano = findWeights("Nano", places);
  if (nano !== null) {
    const note =
      "The weights of DALL-E Mini are not on this machine, so the embedded Nano model is served; " +
      "--model_version Mini fetches them";
    return { version: "Nano", weights: nano, note };
  }
  throw createConfigError([
    "no model is on this machine: pass --checkpoint FOLDER, or --model_version Mini to fetch one",
  ]);
}

function findOrFetch(version: ModelVersion, places: ModelPlaces): Choice {
  const found = findWeights(version, places);
  if (version === "Nano") {
    if (found !== null) return { version, weights: found, note: null };
    throw createConfigError(["--model_version Nano: checkpoints/nano is not in the package"]);
  }
  const own = KNOWN_MODELS[version];
  const cast = own.isHalved
    ? "Mega's own 16-bit files are not on the hub: Mega_full's weights are served, in 16 bits. "
    : "";
  if (found !== null) return { version, weights: found, note: cast === "" ? null : cast.trim() };
  const size = `${((own.downloadBytes + KNOWN_VQGAN.downloadBytes) / 1e9).toFixed(2)} GB`;
  const note = `${cast}The weights of DALL-E ${version} are not on this machine: what is missing of ${size} is fetched first`;
  return { version, weights: nameSources(version), note };
}

function resolvePlace(
  flag: string,
  place: string | null,
  toPath: ModelPlaces["toPath"],
): string | null {
  if (place === null) return null;
  if (isHubAddress(place)) return pinAddress(place);
  const resolved = toPath(place);
  if (statSync(resolved, { throwIfNoEntry: false })?.isDirectory() === true) return resolved;
  throw createConfigError([
    `${flag} must be a folder on this machine, or hf:owner/name; there is no folder at ${resolved}`,
  ]);
}
