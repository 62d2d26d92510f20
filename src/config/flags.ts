/**
 * The one table of settings. Parsing, environment variables, validation and `--help` all come from
 * it: a new setting is a new entry here, or in the part about supervision. Every value arrives as
 * text (a flag or a variable); `null` means that it was not given and that it has no fixed default.
 */
import { z } from "zod";
import { MODEL_VERSIONS, PRECISIONS } from "../checkpoint/published.js";
import { IMAGE_FORMATS } from "../images/encode.js";
import { LOG_LEVELS } from "../log.js";
import {
  countFlag,
  flag,
  flagDocs,
  groupFlags,
  integerText,
  optionalFlag,
  placeText,
  plainText,
  secondsFlag,
  switchFlag,
  wordText,
  type FlagDocs,
} from "./flag-kinds.js";
import { supervision } from "./flags-supervision.js";

const FORMAT_WORDS = IMAGE_FORMATS.join(", ").toUpperCase();

const serving = groupFlags("Serving", {
  port: flag(integerText(0, 65_535), "PORT", "8000").describe(
    "port to listen on; 0 takes any free port",
  ),
  host: flag(plainText(), "ADDRESS", "0.0.0.0").describe(
    "address to listen on; 127.0.0.1 for this machine only",
  ),
  queue_limit: countFlag(1, 100_000, "500").describe(
    "most waiting images; then 429 (an idle server takes any request)",
  ),
  request_timeout: secondsFlag(1, 86_400, "3600").describe(
    "longest time for one request, including its wait",
  ),
  log_level: flag(wordText(LOG_LEVELS), "LEVEL", "info").describe(
    `least severe level to log: ${LOG_LEVELS.join(", ")}`,
  ),
});

const model = groupFlags("Model", {
  model_version: optionalFlag(
    wordText(MODEL_VERSIONS),
    "NAME",
    "Mini if its weights are on this machine, else Nano",
  ).describe(`model to serve, fetched if it is not here: ${MODEL_VERSIONS.join(", ")}`),
  checkpoint: optionalFlag(placeText(), "PLACE", "by model version").describe(
    "folder with config.json and flax_model.msgpack, or hf:owner/name[@revision]",
  ),
  vqgan: optionalFlag(placeText(), "PLACE", "found with the checkpoint").describe(
    "the same for the VQGAN, which makes pixels",
  ),
  precision: flag(wordText(PRECISIONS), "NAME", "auto").describe(
    `arithmetic of the model: ${PRECISIONS.join(", ")}`,
  ),
  sidecars: optionalFlag(integerText(1, 64), "COUNT", "one per NVIDIA device, else 1").describe(
    "sidecars, each with its own model",
  ),
  slots: countFlag(1, 256, "8").describe("images that one sidecar makes at the same time"),
  cache_dir: optionalFlag(
    plainText(),
    "FOLDER",
    "dalle-server in the user's cache folder",
  ).describe("where compiled programs are kept for the next start; none keeps nothing"),
});

const saving = groupFlags("Images", {
  save_to_disk: switchFlag("false").describe("also save every image in the output folder"),
  img_format: flag(wordText(IMAGE_FORMATS, FORMAT_WORDS), "FORMAT", "JPEG").describe(
    `format of the images of /dalle: ${FORMAT_WORDS}`,
  ),
  output_dir: flag(plainText(), "FOLDER", "generations").describe("where saved images go"),
});

const requests = groupFlags("Requests", {
  restart_patience: secondsFlag(0, 86_400, "60").describe(
    "keep accepting requests during a restart due within this time",
  ),
  death_limit: countFlag(1, 100, "2").describe(
    "crashes after which an image that was running at each of them fails",
  ),
  quarantine: secondsFlag(0, 604_800, "600").describe(
    "how long to refuse a prompt that reached --death_limit; 0 disables",
  ),
});

const sidecars = groupFlags("Sidecars", {
  prefetch: optionalFlag(integerText(0, 256), "COUNT", "as many as slots").describe(
    "images sent to a sidecar beyond its slots, so that no free slot waits",
  ),
  chunk_tokens: countFlag(1, 1_024, "16").describe(
    "image tokens per step; new and cancelled work is looked at between steps",
  ),
  sidecar_python: optionalFlag(plainText(), "PROGRAM", "the one that the set-up made").describe(
    "Python that runs the sidecar",
  ),
});

export const settingsSchema = z
  .object({ ...serving, ...model, ...saving, ...requests, ...sidecars, ...supervision })
  .refine((settings) => settings.backoff_base <= settings.backoff_cap, {
    path: ["backoff_base"],
    error: "at most --backoff_cap",
  });

/** The settings as read: checked one by one, not yet resolved against this machine. */
export type Settings = z.output<typeof settingsSchema>;

export interface Flag extends FlagDocs {
  readonly name: string;
  readonly about: string;
}

/** All flags in the order of `--help all`. */
export const FLAGS: readonly Flag[] = Object.entries(settingsSchema.shape).map(([name, schema]) => {
  const docs = flagDocs.get(schema);
  const about = schema.description;
  if (docs === undefined || about === undefined) throw new Error(`${name} is not described`);
  return { name, about, ...docs };
});
