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
  flagDocs,
  groupFlags,
  integerText,
  placeText,
  secondsFlag,
  switchText,
  wordText,
  type FlagDocs,
} from "./flag-kinds.js";
import { supervision } from "./flags-supervision.js";

const FORMAT_WORDS = IMAGE_FORMATS.join(", ").toUpperCase();

const serving = groupFlags("Serving", {
  port: integerText(0, 65_535).register(flagDocs, {
    placeholder: "PORT",
    about: "port to listen on; 0 takes any free port",
    default: "8000",
  }),
  host: z.string().min(1).register(flagDocs, {
    placeholder: "ADDRESS",
    about: "address to listen on; 127.0.0.1 for this machine only",
    default: "0.0.0.0",
  }),
  queue_limit: countFlag(
    [1, 100_000],
    "500",
    "most waiting images; then 429 (an idle server takes any request)",
  ),
  request_timeout: secondsFlag(
    [1, 86_400],
    "3600",
    "longest time for one request, including its wait",
  ),
  log_level: wordText(LOG_LEVELS).register(flagDocs, {
    placeholder: "LEVEL",
    about: `least severe level to log: ${LOG_LEVELS.join(", ")}`,
    default: "info",
  }),
});

const model = groupFlags("Model", {
  model_version: wordText(MODEL_VERSIONS)
    .nullable()
    .register(flagDocs, {
      placeholder: "NAME",
      about: `model to serve, fetched if it is not here: ${MODEL_VERSIONS.join(", ")}`,
      default: null,
      defaultText: "Mini if its weights are on this machine, else Nano",
    }),
  checkpoint: placeText().nullable().register(flagDocs, {
    placeholder: "PLACE",
    about: "folder with config.json and flax_model.msgpack, or hf:owner/name[@revision]",
    default: null,
    defaultText: "by model version",
  }),
  vqgan: placeText().nullable().register(flagDocs, {
    placeholder: "PLACE",
    about: "the same for the VQGAN, which makes pixels",
    default: null,
    defaultText: "found with the checkpoint",
  }),
  precision: wordText(PRECISIONS).register(flagDocs, {
    placeholder: "NAME",
    about: `arithmetic of the model: ${PRECISIONS.join(", ")}`,
    default: "auto",
  }),
  sidecars: integerText(1, 64).nullable().register(flagDocs, {
    placeholder: "COUNT",
    about: "sidecars, each with its own model",
    default: null,
    defaultText: "one per NVIDIA device, else 1",
  }),
  slots: countFlag([1, 256], "8", "images that one sidecar makes at the same time"),
  cache_dir: z.string().min(1).nullable().register(flagDocs, {
    placeholder: "FOLDER",
    about: "where compiled programs are kept for the next start; none keeps nothing",
    default: null,
    defaultText: "dalle-server in the user's cache folder",
  }),
});

const saving = groupFlags("Images", {
  save_to_disk: switchText().register(flagDocs, {
    placeholder: "YES|NO",
    about: "also save every image in the output folder",
    default: "false",
    isSwitch: true,
  }),
  img_format: wordText(IMAGE_FORMATS, FORMAT_WORDS).register(flagDocs, {
    placeholder: "FORMAT",
    about: `format of the images of /dalle: ${FORMAT_WORDS}`,
    default: "JPEG",
  }),
  output_dir: z.string().min(1).register(flagDocs, {
    placeholder: "FOLDER",
    about: "where saved images go",
    default: "generations",
  }),
});

const requests = groupFlags("Requests", {
  restart_patience: secondsFlag(
    [0, 86_400],
    "60",
    "keep accepting requests during a restart due within this time",
  ),
  death_limit: countFlag(
    [1, 100],
    "2",
    "crashes after which an image that was running at each of them fails",
  ),
  quarantine: secondsFlag(
    [0, 604_800],
    "600",
    "how long to refuse a prompt that reached --death_limit; 0 disables",
  ),
});

const sidecars = groupFlags("Sidecars", {
  prefetch: integerText(0, 256).nullable().register(flagDocs, {
    placeholder: "COUNT",
    about: "images sent to a sidecar beyond its slots, so that no free slot waits",
    default: null,
    defaultText: "as many as slots",
  }),
  chunk_tokens: countFlag(
    [1, 1_024],
    "16",
    "image tokens per step; new and cancelled work is looked at between steps",
  ),
  sidecar_python: z.string().min(1).nullable().register(flagDocs, {
    placeholder: "PROGRAM",
    about: "Python that runs the sidecar",
    default: null,
    defaultText: "the one that the set-up made",
  }),
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
}

/** All flags in the order of `--help all`. */
export const FLAGS: readonly Flag[] = Object.entries(settingsSchema.shape).map(([name, schema]) => {
  const docs = flagDocs.get(schema);
  if (docs === undefined) throw new Error(`the setting ${name} has no entry in flagDocs`);
  return { name, ...docs };
});
