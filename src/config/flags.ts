import { z } from "zod";
import { isHubAddress, isValidHubAddress } from "./known-models.js";

/**
 * The one table of settings. Parsing, environment variables, validation and `--help` all come from
 * it: a new setting is a new line here. Every value arrives as text (a flag or a variable); `null`
 * means that nobody gave it and that it has no fixed default.
 */

export interface FlagDocs {
  /** What stands behind the flag in `--help`. */
  readonly placeholder: string;
  readonly about: string;
  /** The text used when the setting is not given. */
  readonly default: string | null;
  /** How `--help` words the default when `default` is null. */
  readonly defaultText?: string;
  /** A flag of this kind may stand alone and then means `true`. */
  readonly isSwitch?: boolean;
}

/** What `--help` and the reader know about each schema of {@link settingsSchema}. */
export const flagDocs = z.registry<FlagDocs>();

export const MODEL_VERSIONS = ["Nano", "Mini", "Mega", "Mega_full"] as const;
export type ModelVersion = (typeof MODEL_VERSIONS)[number];

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const IMAGE_FORMATS = ["JPEG", "PNG", "WEBP"] as const;
export type ImageFormatName = (typeof IMAGE_FORMATS)[number];

const SWITCH_WORDS: ReadonlyMap<string, boolean> = new Map([
  ...["true", "yes", "y", "1", "t"].map((word) => [word, true] as const),
  ...["false", "no", "n", "0", "f"].map((word) => [word, false] as const),
]);

export const settingsSchema = z.object({
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
  queue_limit: integerText(1, 100_000).register(flagDocs, {
    placeholder: "COUNT",
    about: "images that may wait; beyond it requests get status 429",
    default: "500",
  }),
  request_timeout: integerText(1, 86_400).register(flagDocs, {
    placeholder: "SECONDS",
    about: "longest time for one request, waiting included",
    default: "3600",
  }),
  drain_timeout: integerText(0, 3_600).register(flagDocs, {
    placeholder: "SECONDS",
    about: "time for running requests when the server is told to stop",
    default: "60",
  }),
  sidecars: integerText(1, 64).nullable().register(flagDocs, {
    placeholder: "COUNT",
    about: "sidecars, each with a copy of the model",
    default: null,
    defaultText: "one for each NVIDIA device, else 1",
  }),
  start_timeout: integerText(1, 86_400).register(flagDocs, {
    placeholder: "SECONDS",
    about: "longest start of a sidecar: reading, compiling, warming up",
    default: "3600",
  }),
  chunk_timeout: integerText(1, 86_400).register(flagDocs, {
    placeholder: "SECONDS",
    about: "longest time between two steps of a sidecar that makes images",
    default: "300",
  }),
  breaker_failures: integerText(1, 1_000).register(flagDocs, {
    placeholder: "COUNT",
    about: "failures of a sidecar within the breaker window that stop its restarts",
    default: "5",
  }),
  breaker_window: integerText(1, 86_400).register(flagDocs, {
    placeholder: "SECONDS",
    about: "how long a failure counts",
    default: "600",
  }),
  breaker_pause: integerText(1, 86_400).register(flagDocs, {
    placeholder: "SECONDS",
    about: "from the stop of the restarts to the next trial",
    default: "60",
  }),
  quarantine: integerText(0, 604_800).register(flagDocs, {
    placeholder: "SECONDS",
    about: "how long a prompt is refused that ended its sidecar twice; 0 = not at all",
    default: "600",
  }),
  slots: integerText(1, 256).register(flagDocs, {
    placeholder: "COUNT",
    about: "images that the sidecar decodes at the same time",
    default: "8",
  }),
  chunk_tokens: integerText(1, 1_024).register(flagDocs, {
    placeholder: "COUNT",
    about: "image tokens between two looks at new and cancelled work",
    default: "16",
  }),
  precision: wordText(["auto", "float32", "bfloat16"]).register(flagDocs, {
    placeholder: "NAME",
    about: "arithmetic of the model: auto, float32, bfloat16",
    default: "auto",
  }),
  sidecar_python: z.string().min(1).nullable().register(flagDocs, {
    placeholder: "PROGRAM",
    about: "Python that runs the sidecar",
    default: null,
    defaultText: "the one that the set-up made",
  }),
  cache_dir: z.string().min(1).nullable().register(flagDocs, {
    placeholder: "FOLDER",
    about: "where compiled programs are kept for the next start; none = keep nothing",
    default: null,
    defaultText: "dalle-server in the user's cache folder",
  }),
  log_level: wordText(LOG_LEVELS).register(flagDocs, {
    placeholder: "LEVEL",
    about: `least important lines to log: ${LOG_LEVELS.join(", ")}`,
    default: "info",
  }),
});

/** The settings as read: checked one by one, not yet resolved against this machine. */
export type Settings = z.output<typeof settingsSchema>;
export type FlagName = keyof Settings;

export interface Flag extends FlagDocs {
  readonly name: string;
}

/** All flags in the order of `--help`. */
export const FLAGS: readonly Flag[] = Object.entries(settingsSchema.shape).map(([name, schema]) => {
  const docs = flagDocs.get(schema);
  if (docs === undefined) throw new Error(`the setting ${name} has no entry in flagDocs`);
  return { name, ...docs };
});

function integerText(min: number, max: number) {
  const expected = `an integer from ${min} to ${max}`;
  return z
    .string()
    .refine((text) => /^[+-]?\d{1,9}$/.test(text.trim()), { error: expected, abort: true })
    .transform(Number)
    .pipe(z.number().min(min, { error: expected }).max(max, { error: expected }));
}

function wordText<const Word extends string>(words: readonly Word[]) {
  return z.string().transform((text, context): Word => {
    const wanted = text.trim().toLowerCase();
    const found = words.find((word) => word.toLowerCase() === wanted);
    if (found !== undefined) return found;
    context.addIssue({ code: "custom", message: `one of ${words.join(", ")}` });
    return z.NEVER;
  });
}

function switchText() {
  return z.string().transform((text, context): boolean => {
    const found = SWITCH_WORDS.get(text.trim().toLowerCase());
    if (found !== undefined) return found;
    context.addIssue({ code: "custom", message: "true, yes, y, 1, t or false, no, n, 0, f" });
    return z.NEVER;
  });
}

function placeText() {
  return z
    .string()
    .min(1)
    .refine((text) => !isHubAddress(text) || isValidHubAddress(text), {
      error: "a folder, hf:owner/name or hf:owner/name@revision",
    });
}
