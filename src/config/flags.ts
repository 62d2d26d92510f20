import { z } from "zod";
import { MODEL_VERSIONS } from "../checkpoint/published.js";
import {
  countFlag,
  flagDocs,
  integerText,
  placeText,
  secondsFlag,
  switchText,
  wordText,
  type FlagDocs,
} from "./flag-kinds.js";
import { SUPERVISION_GROUPS } from "./flags-supervision.js";

/**
 * The one table of settings. Parsing, environment variables, validation and `--help` all come from
 * it: a new setting is a new entry here, or in the part about supervision. Every value arrives as
 * text (a flag or a variable); `null` means that nobody gave it and that it has no fixed default.
 */

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const IMAGE_FORMATS = ["JPEG", "PNG", "WEBP"] as const;
export type ImageFormatName = (typeof IMAGE_FORMATS)[number];

const serving = {
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
  save_to_disk: switchText().register(flagDocs, {
    placeholder: "YES|NO",
    about: "also save every image in the output folder",
    default: "false",
    isSwitch: true,
  }),
  img_format: wordText(IMAGE_FORMATS).register(flagDocs, {
    placeholder: "FORMAT",
    about: `format of the images of /dalle: ${IMAGE_FORMATS.join(", ")}`,
    default: "JPEG",
  }),
  output_dir: z.string().min(1).register(flagDocs, {
    placeholder: "FOLDER",
    about: "where saved images go",
    default: "generations",
  }),
  log_level: wordText(LOG_LEVELS).register(flagDocs, {
    placeholder: "LEVEL",
    about: `least important lines to log: ${LOG_LEVELS.join(", ")}`,
    default: "info",
  }),
};

const model = {
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
    about: "the same for the VQGAN, which turns image tokens into pixels",
    default: null,
    defaultText: "found with the checkpoint",
  }),
  precision: wordText(["auto", "float32", "bfloat16"]).register(flagDocs, {
    placeholder: "NAME",
    about: "arithmetic of the model: auto, float32, bfloat16",
    default: "auto",
  }),
  sidecars: integerText(1, 64).nullable().register(flagDocs, {
    placeholder: "COUNT",
    about: "sidecars, each with a copy of the model",
    default: null,
    defaultText: "one for each NVIDIA device, else 1",
  }),
  slots: integerText(1, 256).register(flagDocs, {
    placeholder: "COUNT",
    about: "images that the sidecar decodes at the same time",
    default: "8",
  }),
  prefetch: integerText(0, 256).nullable().register(flagDocs, {
    placeholder: "COUNT",
    about: "images sent to a sidecar beyond its slots, so that no slot waits for the next",
    default: null,
    defaultText: "as many as slots",
  }),
  chunk_tokens: integerText(1, 1_024).register(flagDocs, {
    placeholder: "COUNT",
    about: "image tokens between two looks at new and cancelled work",
    default: "16",
  }),
  cache_dir: z.string().min(1).nullable().register(flagDocs, {
    placeholder: "FOLDER",
    about: "where compiled programs are kept for the next start; none = keep nothing",
    default: null,
    defaultText: "dalle-server in the user's cache folder",
  }),
  sidecar_python: z.string().min(1).nullable().register(flagDocs, {
    placeholder: "PROGRAM",
    about: "Python that runs the sidecar",
    default: null,
    defaultText: "the one that the set-up made",
  }),
};

const requests = {
  queue_limit: countFlag(
    [1, 100_000],
    "500",
    "images that may wait; beyond it requests get status 429",
  ),
  request_timeout: secondsFlag(
    [1, 86_400],
    "3600",
    "longest time for one request, waiting included",
  ),
  restart_patience: secondsFlag(
    [0, 86_400],
    "60",
    "requests are taken while the next start of the sidecar is no further away than this",
  ),
  death_limit: countFlag(
    [1, 100],
    "2",
    "ends of the sidecar at which an image that was there each time is given up",
  ),
  quarantine: secondsFlag(
    [0, 604_800],
    "600",
    "how long a prompt is refused that ended the sidecar so often; 0 = not at all",
  ),
  quarantine_limit: countFlag([1, 1_000_000], "1000", "prompts that are remembered for that"),
};

/** The settings in the order and with the headings of `--help`. */
const GROUPS = {
  Serving: serving,
  Model: model,
  Requests: requests,
  ...SUPERVISION_GROUPS,
} as const;

export const settingsSchema = z
  .object({
    ...serving,
    ...model,
    ...requests,
    ...SUPERVISION_GROUPS["Watching a sidecar"],
    ...SUPERVISION_GROUPS["Starting it anew"],
    ...SUPERVISION_GROUPS.Stopping,
    ...SUPERVISION_GROUPS["Talking to it"],
  })
  .refine((settings) => settings.backoff_base <= settings.backoff_cap, {
    path: ["backoff_base"],
    error: "at most --backoff_cap",
  });

/** The settings as read: checked one by one, not yet resolved against this machine. */
export type Settings = z.output<typeof settingsSchema>;
export type FlagName = keyof Settings;

export interface Flag extends FlagDocs {
  readonly name: string;
}

export interface FlagGroup {
  readonly title: string;
  readonly flags: readonly Flag[];
}

export const FLAG_GROUPS: readonly FlagGroup[] = Object.entries(GROUPS).map(([title, shape]) => ({
  title,
  flags: Object.entries(shape).map(([name, schema]) => {
    const docs = flagDocs.get(schema);
    if (docs === undefined) throw new Error(`the setting ${name} has no entry in flagDocs`);
    return { name, ...docs };
  }),
}));

/** All flags in the order of `--help`. */
export const FLAGS: readonly Flag[] = FLAG_GROUPS.flatMap(({ flags }) => flags);
