import { existsSync, statSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { AppError } from "./errors.js";
import { readVersion } from "./version.js";
import {
  type ImageFormatName,
  type LogLevel,
  type ModelVersion,
  type Settings,
} from "./config/flags.js";
import { formatHelp } from "./config/help.js";
import { listDevices, shareDevices } from "./config/devices.js";
import { checkValues, readArguments, readEnvironment } from "./config/read.js";
import { findWeights, type Weights } from "./config/weights.js";

/** Everything the server is told from outside, checked and complete. Frozen. */
export interface Config {
  readonly version: string;
  readonly packageRoot: string;
  readonly host: string;
  readonly port: number;
  /** `Nano`, `Mini`, `Mega`, `Mega_full`, or `Custom` for a folder given without a version. */
  readonly modelVersion: string;
  /** Why this model was chosen, when nobody chose it; for the log. */
  readonly modelNote: string | null;
  readonly checkpoint: string;
  readonly vqgan: string | null;
  readonly saveToDisk: boolean;
  readonly imgFormat: ImageFormatName;
  readonly outputDir: string;
  readonly queueLimit: number;
  readonly requestTimeoutMs: number;
  readonly drainTimeoutMs: number;
  /** One for each sidecar: the devices it may see, or null for all. */
  readonly devices: readonly (string | null)[];
  readonly supervision: {
    readonly startLimitMs: number;
    readonly chunkLimitMs: number;
    readonly breakerFailureLimit: number;
    readonly breakerWindowMs: number;
    readonly breakerPauseMs: number;
  };
  readonly quarantineMs: number;
  readonly slots: number;
  readonly chunkTokens: number;
  readonly precision: "auto" | "float32" | "bfloat16";
  /** The Python that runs the sidecar. */
  readonly python: string;
  readonly cacheDir: string | null;
  readonly logLevel: LogLevel;
}

/** What a process knows about its surroundings; tests pass their own. */
export interface Surroundings {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
  readonly packageRoot: string;
}

/** What the command line asks for: to serve with a Config, or to print a text and leave. */
export type Command =
  | { readonly action: "serve"; readonly config: Config }
  | { readonly action: "print"; readonly text: string };

/** Reads the process itself; the only place that touches `process.env` and `process.argv`. */
export function readSurroundings(packageRoot: string): Surroundings {
  const { argv, env } = process;
  return { argv: argv.slice(2), env, cwd: process.cwd(), home: homedir(), packageRoot };
}

/**
 * Turns flags and environment into a {@link Config}.
 *
 * @throws AppError `config_invalid` that lists every problem at once.
 */
export function readCommand(surroundings: Surroundings): Command {
  const version = readVersion(surroundings.packageRoot);
  const flags = readArguments(surroundings.argv);
  if (flags.action === "help") return { action: "print", text: formatHelp(version) };
  if (flags.action === "version") return { action: "print", text: `${version}\n` };
  const env = readEnvironment(surroundings.env);
  const { settings, problems } = checkValues(new Map([...env.values, ...flags.values]));
  const found = [...flags.problems, ...env.problems, ...problems];
  if (settings === null || found.length > 0) throw createConfigError(found);
  return { action: "serve", config: resolveConfig(settings, version, surroundings) };
}

function resolveConfig(settings: Settings, version: string, at: Surroundings): Config {
  const cacheDir = settings.cache_dir ?? path.join(cacheRoot(at), "dalle-server");
  return Object.freeze({
    version,
    packageRoot: at.packageRoot,
    host: settings.host,
    port: settings.port,
    ...resolveModel(settings, at),
    saveToDisk: settings.save_to_disk,
    imgFormat: settings.img_format,
    outputDir: path.resolve(at.cwd, settings.output_dir),
    queueLimit: settings.queue_limit,
    requestTimeoutMs: settings.request_timeout * 1000,
    drainTimeoutMs: settings.drain_timeout * 1000,
    devices: shareDevices(settings.sidecars, listDevices(at.env["CUDA_VISIBLE_DEVICES"])),
    supervision: Object.freeze({
      startLimitMs: settings.start_timeout * 1000,
      chunkLimitMs: settings.chunk_timeout * 1000,
      breakerFailureLimit: settings.breaker_failures,
      breakerWindowMs: settings.breaker_window * 1000,
      breakerPauseMs: settings.breaker_pause * 1000,
    }),
    quarantineMs: settings.quarantine * 1000,
    slots: settings.slots,
    chunkTokens: settings.chunk_tokens,
    precision: settings.precision,
    python: settings.sidecar_python ?? defaultPython(at.packageRoot),
    cacheDir: cacheDir.toLowerCase() === "none" ? null : path.resolve(at.cwd, cacheDir),
    logLevel: settings.log_level,
  });
}

type ResolvedModel = Pick<Config, "modelVersion" | "modelNote" | "checkpoint" | "vqgan">;

function resolveModel(settings: Settings, at: Surroundings): ResolvedModel {
  const checkpoint = resolveFolder("--checkpoint", settings.checkpoint, at.cwd);
  const vqgan = resolveFolder("--vqgan", settings.vqgan, at.cwd);
  if (checkpoint !== null) {
    const modelVersion = settings.model_version ?? "Custom";
    return { modelVersion, modelNote: null, checkpoint, vqgan };
  }
  const places = { packageRoot: at.packageRoot, hubCache: hubCache(at) };
  if (settings.model_version === null) {
    const mini = findWeights("Mini", places);
    const nano = mini === null ? findWeights("Nano", places) : null;
    const modelNote =
      mini === null
        ? "The weights of DALL-E Mini are not on this machine, so the embedded Nano model is served"
        : "The weights of DALL-E Mini are on this machine, so they are served";
    if (mini !== null) return describeModel("Mini", modelNote, mini, vqgan);
    if (nano !== null) return describeModel("Nano", modelNote, nano, vqgan);
    throw createConfigError(["no model is on this machine: pass --checkpoint FOLDER"]);
  }
  const weights = findWeights(settings.model_version, places);
  if (weights === null) throw createConfigError([describeMissing(settings.model_version)]);
  return describeModel(settings.model_version, null, weights, vqgan);
}

function describeModel(
  modelVersion: ModelVersion,
  modelNote: string | null,
  weights: Weights,
  vqgan: string | null,
): ResolvedModel {
  return { modelVersion, modelNote, checkpoint: weights.checkpoint, vqgan: vqgan ?? weights.vqgan };
}

function describeMissing(modelVersion: string): string {
  return (
    `--model_version ${modelVersion}: its weights are not on this machine, and this version of the ` +
    `server downloads none. Pass --checkpoint FOLDER (config.json, flax_model.msgpack and the ` +
    `tokenizer files), with --vqgan FOLDER if the VQGAN is elsewhere, or choose --model_version Nano`
  );
}

function resolveFolder(flag: string, folder: string | null, cwd: string): string | null {
  if (folder === null) return null;
  const resolved = path.resolve(cwd, folder);
  if (statSync(resolved, { throwIfNoEntry: false })?.isDirectory() === true) return resolved;
  throw createConfigError([
    `${flag} must be a folder on this machine; there is none at ${resolved}`,
  ]);
}

function cacheRoot(at: Surroundings): string {
  return readVariable(at, "XDG_CACHE_HOME") ?? path.join(at.home, ".cache");
}

function hubCache(at: Surroundings): string {
  const hubHome = readVariable(at, "HF_HOME") ?? path.join(cacheRoot(at), "huggingface");
  return readVariable(at, "HF_HUB_CACHE") ?? path.join(hubHome, "hub");
}

/** An empty variable counts as not set. */
function readVariable(at: Surroundings, name: string): string | null {
  const text = at.env[name];
  return text === undefined || text === "" ? null : text;
}

function defaultPython(packageRoot: string): string {
  const own = path.join(packageRoot, ".venv", "bin", "python");
  return existsSync(own) ? own : "python3";
}

function createConfigError(problems: readonly string[]): AppError {
  const list = problems.map((problem) => `  - ${problem}`).join("\n");
  return new AppError(
    "config_invalid",
    `The settings are not valid:\n${list}\n(--help lists them.)`,
  );
}
