import { statSync } from "node:fs";
import { MODEL_VERSIONS, type ModelVersion } from "../checkpoint/published.js";
import { KNOWN_MODELS, KNOWN_VQGAN } from "../checkpoint/published.js";
import { findWeightFiles } from "../checkpoint/weight-files.js";
import { findWeights, type WeightsPlaces } from "../checkpoint/installed.js";

/** Programs, the VQGAN and the interpreter; the same as in sidecar/checkpoint/memory_check.py. */
export const OVERHEAD_BYTES = 600_000_000;
const BYTES_PER_NUMBER = { float32: 4, bfloat16: 2 } as const;

/** The text of `dalle-server models`: what is known, what is here, what it needs. */
export function formatModels(places: WeightsPlaces, slots: number): string {
  const rows = MODEL_VERSIONS.map((version) => describeModel(version, places, slots));
  const header = ["model", "to fetch", `memory (${slots} slots)`, "where"];
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const lines = [header, ...rows].map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "),
  );
  return [
    ...lines.map((line) => line.trimEnd()),
    "",
    "dalle-server pull NAME fetches one; --model_version NAME fetches and serves it.",
    "Mega is made of Mega_full's files, in 16 bits.",
    "",
  ].join("\n");
}

function describeModel(
  version: ModelVersion,
  places: WeightsPlaces,
  slots: number,
): readonly string[] {
  const found = findWeights(version, places);
  if (version === "Nano") {
    return [version, "-", "under 1 GB", found?.checkpoint ?? "not in the package"];
  }
  const known = KNOWN_MODELS[version];
  const numbers = known.parameterCount + slots * known.cachedNumbersPerSlot;
  const inPrecision = (precision: keyof typeof BYTES_PER_NUMBER) =>
    `${formatGigabytes(numbers * BYTES_PER_NUMBER[precision] + OVERHEAD_BYTES)} in ${precision}`;
  const memory = known.isHalved
    ? inPrecision("bfloat16")
    : `${inPrecision("float32")}, ${inPrecision("bfloat16")}`;
  if (found === null) {
    const size = formatGigabytes(known.downloadBytes + KNOWN_VQGAN.downloadBytes);
    return [version, size, memory, `not here (${known.repo})`];
  }
  const sizes = (findWeightFiles(found.checkpoint) ?? []).map((file) => statSync(file).size);
  const size = sizes.reduce((sum, each) => sum + each, 0);
  return [version, "-", memory, `${found.checkpoint} (${formatGigabytes(size)})`];
}

function formatGigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
