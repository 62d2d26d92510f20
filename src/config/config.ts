/** What the server is given from outside, read once, checked and frozen. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import type { WeightsPlaces } from "../checkpoint/installed.js";
import { resolveModel } from "../checkpoint/resolve.js";
import { createConfigError } from "../errors.js";
import type { LogLevel } from "../log.js";
import type { ServiceSettings } from "../service.js";
import type { SupervisorOptions } from "../sidecar/limits.js";
import { splitCommandLine } from "./command-line.js";
import { listDevices, shareDevices } from "./devices.js";
import type { Settings } from "./flags.js";
import { expandPath, findHome } from "./paths.js";
import { checkValues, readFlags, readEnvironment } from "./read.js";
import { resolveSupervision, toMs } from "./supervision.js";

/** The settings of the parts, checked and complete. Frozen. */
export interface Config {
  readonly packageRoot: string;
  readonly host: string;
  readonly port: number;
  readonly logLevel: LogLevel;
  /** Where images are saved; null when they are not. */
  readonly outputDir: string | null;
  readonly drainTimeoutMs: number;
  /** What the log should say about the choice of the model; null when there is nothing to say. */
  readonly modelNote: string | null;
  /** What was ignored in the environment, a sentence each. */
  readonly warnings: readonly string[];
  readonly service: ServiceSettings;
  readonly sidecar: Pick<SupervisorOptions, "config" | "limits" | "prefetch" | "transport">;
  /** One for each sidecar: the devices it may see, or null for all. */
  readonly devices: readonly (string | null)[];
  /** The Python that runs the sidecar. */
  readonly python: string;
  /** What Python runs as the sidecar. */
  readonly sidecarProgram: readonly string[];
}

/** What a process knows about its surroundings; tests pass their own. */
interface Surroundings {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Null for a user without a home folder. */
  readonly home: string | null;
  readonly packageRoot: string;
}

/** What the command line asks for. */
export type Command =
  | { readonly action: "serve" | "pull"; readonly config: Config }
  | { readonly action: "models"; readonly places: WeightsPlaces; readonly slots: number }
  | { readonly action: "help" | "help_all" | "version"; readonly version: string };

/** Reads the process itself; the only place that touches `process.env` and `process.argv`. */
export function readSurroundings(packageRoot: string): Surroundings {
  const { argv, env } = process;
  return { argv: argv.slice(2), env, cwd: process.cwd(), home: findHome(), packageRoot };
}

/**
 * Turns flags and environment into a {@link Command}.
 *
 * @throws AppError `config_invalid` that lists every problem at once.
 */
export function readCommand(at: Surroundings): Command {
  const version = readVersion(at.packageRoot);
  const { word, argv } = splitCommandLine(at.argv);
  const flags = readFlags(argv);
  if (flags.action !== "serve") return { action: flags.action, version };
  const env = readEnvironment(at.env);
  const { settings, problems } = checkValues(new Map([...env.values, ...flags.values]));
  const found = [...flags.problems, ...problems];
  if (settings === null || found.length > 0) throw createConfigError(found);
  if (word === "models") return { action: word, places: placesOf(at), slots: settings.slots };
  if (word === "pull" && settings.model_version === null && settings.checkpoint === null) {
    throw createConfigError([
      "pull needs the name of a model: pull Mini, or pull hf:owner/name; models lists them",
    ]);
  }
  return { action: word, config: resolveConfig(settings, env.warnings, version, at) };
}

const packageSchema = z.object({ version: z.string().min(1) });

function readVersion(packageRoot: string): string {
  const text = readFileSync(path.join(packageRoot, "package.json"), "utf8");
  return packageSchema.parse(JSON.parse(text)).version;
}

function resolveConfig(
  settings: Settings,
  warnings: readonly string[],
  version: string,
  at: Surroundings,
): Config {
  const { host, port, slots, prefetch } = settings;
  const { note, modelVersion, ...model } = resolveModel(
    { ...settings, version: settings.model_version },
    { ...placesOf(at), toPath: (place) => expandPath(place, at) },
  );
  // Named with its type first: TypeScript finds surplus keys only there.
  const config: Config = {
    packageRoot: at.packageRoot,
    host,
    port,
    logLevel: settings.log_level,
    outputDir: settings.save_to_disk ? expandPath(settings.output_dir, at) : null,
    drainTimeoutMs: toMs(settings.drain_timeout),
    modelNote: note,
    warnings,
    service: {
      version,
      modelVersion,
      format: settings.img_format,
      queueLimit: settings.queue_limit,
      requestTimeoutMs: toMs(settings.request_timeout),
      patienceMs: toMs(settings.restart_patience),
      deathLimit: settings.death_limit,
      quarantineMs: toMs(settings.quarantine),
    },
    sidecar: {
      config: {
        ...model,
        slots,
        chunkTokens: settings.chunk_tokens,
        cacheDir: resolveCacheDir(settings.cache_dir, at),
      },
      limits: resolveSupervision(settings),
      prefetch,
      transport: { kind: settings.sidecar_transport, host: settings.sidecar_host },
    },
    devices: shareDevices(settings.sidecars, listDevices(at.env["CUDA_VISIBLE_DEVICES"])),
    python: resolvePython(settings.sidecar_python, at),
    // Not a setting, but the hook by which tests and benches run another program; one argument a line.
    sidecarProgram: readVariable(at, "DALLE_SIDECAR_PROGRAM")?.split("\n") ?? ["-m", "sidecar"],
  };
  return freezeDeep(config);
}

function freezeDeep<Whole extends object>(whole: Whole): Whole {
  const parts: unknown[] = Object.values(whole);
  for (const part of parts) if (typeof part === "object" && part !== null) freezeDeep(part);
  return Object.freeze(whole);
}

function placesOf(at: Surroundings): WeightsPlaces {
  return { packageRoot: at.packageRoot, hubCache: findHubCache(at) };
}

/** Null when nothing is kept. */
function resolveCacheDir(wanted: string | null, at: Surroundings): string | null {
  if (wanted !== null) return wanted.toLowerCase() === "none" ? null : expandPath(wanted, at);
  const root = cacheRoot(at);
  return root === null ? null : path.join(root, "dalle-server");
}

/** The cache folder of the user; null for a user who has neither a home nor a variable for it. */
function cacheRoot(at: Surroundings): string | null {
  const named = readPath(at, "XDG_CACHE_HOME");
  return named ?? (at.home === null ? null : path.join(at.home, ".cache"));
}

function findHubCache(at: Surroundings): string | null {
  const root = cacheRoot(at);
  const hubHome =
    readPath(at, "HF_HOME") ?? (root === null ? null : path.join(root, "huggingface"));
  return readPath(at, "HF_HUB_CACHE") ?? (hubHome === null ? null : path.join(hubHome, "hub"));
}

function readPath(at: Surroundings, name: string): string | null {
  const text = readVariable(at, name);
  return text === null ? null : expandPath(text, at);
}

/** An empty variable counts as not set. */
function readVariable(at: Surroundings, name: string): string | null {
  const text = at.env[name];
  return text === undefined || text === "" ? null : text;
}

/** A path is resolved like every other; a bare name is looked up in PATH. */
function resolvePython(wanted: string | null, at: Surroundings): string {
  if (wanted !== null) return wanted.includes("/") ? expandPath(wanted, at) : wanted;
  const own = path.join(at.packageRoot, ".venv", "bin", "python");
  return existsSync(own) ? own : "python3";
}
