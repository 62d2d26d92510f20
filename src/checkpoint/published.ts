/**
 * The published checkpoints: where they are, at which commit, and how large. `Mega`'s own files (in
 * 16 bits) are not on the hub, so it is made of `Mega_full`'s, cast while they are loaded.
 */
import { formatHubAddress } from "./hub-address.js";

export const MODEL_VERSIONS = ["Nano", "Mini", "Mega", "Mega_full"] as const;
export type ModelVersion = (typeof MODEL_VERSIONS)[number];

/** Arithmetic of a model; `auto` leaves the choice to the sidecar. */
export const PRECISIONS = ["auto", "float32", "bfloat16"] as const;
export type Precision = (typeof PRECISIONS)[number];

export interface HubModel {
  /** `owner/name` on the hub. */
  readonly repo: string;
  /** The commit that was checked: its files never change. */
  readonly revision: string;
  /** All files that are fetched. */
  readonly downloadBytes: number;
}

export interface KnownModel extends HubModel {
  readonly parameterCount: number;
  /** Keys and values that the decoder keeps for one image. */
  readonly cachedNumbersPerSlot: number;
  /** True when the weights are kept in 16 bits whatever the file has. */
  readonly isHalved: boolean;
}

const MEGA: Omit<KnownModel, "isHalved"> = {
  repo: "dalle-mini/dalle-mega",
  revision: "f815ffa5bdab671dfdb6aa4e0f749b7228dc8d9a",
  downloadBytes: 10_353_500_000,
  parameterCount: 2_587_521_024,
  cachedNumbersPerSlot: 4 * 24 * (256 + 64) * 2048,
};

export const KNOWN_MODELS: Readonly<Record<Exclude<ModelVersion, "Nano">, KnownModel>> = {
  Mini: {
    repo: "dalle-mini/dalle-mini",
    revision: "c8e67bc58edda0333009fa358752ca2dca56bc40",
    downloadBytes: 1_754_700_000,
    parameterCount: 437_833_712,
    cachedNumbersPerSlot: 4 * 12 * (256 + 64) * 1024,
    isHalved: false,
  },
  Mega: { ...MEGA, isHalved: true },
  Mega_full: { ...MEGA, isHalved: false },
};

/** The VQGAN that all of them were trained with. */
export const KNOWN_VQGAN: HubModel = {
  repo: "dalle-mini/vqgan_imagenet_f16_16384",
  revision: "e93a26e7707683d349bf5d5c41c5b0ef69b677a9",
  downloadBytes: 304_000_000,
};

/** The address of a known repository, with its commit. */
export function addressOf({ repo, revision }: HubModel): string {
  return formatHubAddress(repo, revision);
}

/** Adds the checked commit to an address of a known repository that names no revision. */
export function pinAddress(address: string): string {
  const known = [...Object.values(KNOWN_MODELS), KNOWN_VQGAN];
  const found = known.find(({ repo }) => address === formatHubAddress(repo));
  return found === undefined ? address : addressOf(found);
}
