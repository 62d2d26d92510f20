import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { readVersion } from "./version.js";
import { splitCommandLine } from "./command-line.js";
import type { ImageFormatName, LogLevel, Settings } from "./flags.js";
import { formatHelp } from "../commands/help.js";
import { listDevices, shareDevices } from "./devices.js";
import { createConfigError } from "../errors.js";
import { resolveModel, type ModelPlaces, type ResolvedModel } from "../checkpoint/resolve.js";
import { formatModels } from "../commands/models.js";
import { checkValues, readArguments, readEnvironment } from "./read.js";
import { resolveSupervision, toMs, type SupervisionSettings } from "./supervision.js";

/** Everything the server is told from outside, checked and complete. Frozen. */
export interface Config extends ResolvedModel {
  readonly version: string;
  readonly packageRoot: string;
  readonly host: string;
  readonly port: number;
  readonly saveToDisk: boolean;
  readonly imgFormat: ImageFormatName;
  readonly outputDir: string;
  readonly queueLimit: number;
  readonly requestTimeoutMs: number;
  readonly drainTimeoutMs: number;
  /** What answers get to leave once their images are made. */
  readonly answerGraceMs: number;
  /** What a sidecar gets to say goodbye once its work is done. */
  readonly goodbyeMs: number;
  /** A restart that is further away is not worth waiting for in the queue. */
  readonly patienceMs: number;
  readonly deathLimit: number;
  /** One for each sidecar: the devices it may see, or null for all. */
  readonly devices: readonly (string | null)[];
  readonly supervision: SupervisionSettings;
  readonly transport: { readonly kind: "ipc" | "tcp"; readonly host: string };
  readonly quarantineMs: number;
  readonly quarantineLimit: number;
  readonly slots: number;
  /** Null: as many as slots. */
  readonly prefetch: number | null;
  readonly chunkTokens: number;
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

/** What the command line asks for: to serve a Config, to fetch its model, or to print a text and leave. */
export type Command =
  | { readonly action: "serve" | "pull"; readonly config: Config }
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
  const { word, argv } = splitCommandLine(surroundings.argv);
  const flags = readArguments(argv);
  if (flags.action === "help") return { action: "print", text: formatHelp(version) };
  if (flags.action === "version") return { action: "print", text: `${version}\n` };
  const env = readEnvironment(surroundings.env);
  const { settings, problems } = checkValues(new Map([...env.values, ...flags.values]));
  const found = [...flags.problems, ...env.problems, ...problems];
  if (settings === null || found.length > 0) throw createConfigError(found);
  if (word === "models") {
    return { action: "print", text: formatModels(placesOf(surroundings), settings.slots) };
  }
  if (word === "pull" && settings.model_version === null && settings.checkpoint === null) {
    throw createConfigError([
      "pull needs the name of a model: pull Mini, or pull hf:owner/name; models lists them",
    ]);
  }
  return { action: word, config: resolveConfig(settings, version, surroundings) };
}

function resolveConfig(settings: Settings, version: string, at: Surroundings): Config {
  const cacheDir = settings.cache_dir ?? path.join(cacheRoot(at), "dalle-server");
  return Object.freeze({
    version,
    packageRoot: at.packageRoot,
    host: settings.host,
    port: settings.port,
    ...resolveModel(settings, placesOf(at)),
    saveToDisk: settings.save_to_disk,
    imgFormat: settings.img_format,
    outputDir: path.resolve(at.cwd, settings.output_dir),
    queueLimit: settings.queue_limit,
    requestTimeoutMs: toMs(settings.request_timeout),
    drainTimeoutMs: toMs(settings.drain_timeout),
    answerGraceMs: toMs(settings.answer_grace),
    goodbyeMs: toMs(settings.goodbye_time),
    patienceMs: toMs(settings.restart_patience),
    deathLimit: settings.death_limit,
    devices: shareDevices(settings.sidecars, listDevices(at.env["CUDA_VISIBLE_DEVICES"])),
    supervision: resolveSupervision(settings),
    transport: Object.freeze({ kind: settings.sidecar_transport, host: settings.sidecar_host }),
    quarantineMs: toMs(settings.quarantine),
    quarantineLimit: settings.quarantine_limit,
    slots: settings.slots,
    prefetch: settings.prefetch,
    chunkTokens: settings.chunk_tokens,
    python: settings.sidecar_python ?? defaultPython(at.packageRoot),
    cacheDir: cacheDir.toLowerCase() === "none" ? null : path.resolve(at.cwd, cacheDir),
    logLevel: settings.log_level,
  });
}

function placesOf(at: Surroundings): ModelPlaces {
  return { packageRoot: at.packageRoot, hubCache: hubCache(at), cwd: at.cwd };
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
