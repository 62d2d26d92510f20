#!/usr/bin/env node
import { fileURLToPath } from "node:url";
import { readCommand, readSurroundings, type Config } from "./config/config.js";
import { isHubAddress } from "./checkpoint/hub-address.js";
import { hasCode } from "./errors.js";
import { createApp } from "./http/app.js";
import { LOOSE_LIMITS } from "./http/request-fields.js";
import { ModelCatalogue } from "./http/routes/models.js";
import { createHttpServer, type HttpServer } from "./http/server.js";
import { createEncoder } from "./images/encode.js";
import { ImageStore } from "./images/store.js";
import { Admission } from "./jobs/admission.js";
import { PictureGenerator } from "./jobs/image-service.js";
import { buildHealth } from "./health/report.js";
import { JobQueue } from "./jobs/queue.js";
import { createLogger, type Logger } from "./log.js";
import { Metrics } from "./health/metrics.js";
import { Quarantine } from "./jobs/quarantine.js";
import { SidecarPool } from "./sidecar/pool.js";
import { pullCheckpoints } from "./commands/pull.js";
import type { SidecarStatus } from "./sidecar/status.js";
import { Supervisor } from "./sidecar/supervisor.js";

/** The folder of package.json: one above src/ and one above dist/. */
const PACKAGE_ROOT = fileURLToPath(new URL("..", import.meta.url));

const IMAGE_FORMAT = { JPEG: "jpeg", PNG: "png", WEBP: "webp" } as const;
const SIGNAL_EXIT_CODE = { SIGINT: 130, SIGTERM: 143 } as const;

/** Everything that runs, built once and stopped in order. */
interface Parts {
  readonly config: Config;
  readonly log: Logger;
  readonly pool: SidecarPool;
  readonly admission: Admission;
  readonly queue: JobQueue;
  readonly server: HttpServer;
}

try {
  const command = readCommand(readSurroundings(PACKAGE_ROOT));
  if (command.action === "print") process.stdout.write(command.text);
  else if (command.action === "pull") process.exitCode = await pull(command.config);
  else await serve(command.config);
} catch (error) {
  if (!hasCode(error, "config_invalid") && !hasCode(error, "listen_failed")) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = error.code === "config_invalid" ? 2 : 1;
}

/** Fetches what the configuration names on the hub; the exit code is 0 when all of it is here. */
async function pull(config: Config): Promise<number> {
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const keepAddress = (place: string | null) => {
    if (place === null || isHubAddress(place)) return place;
    say(`Here: ${place}`);
    return null;
  };
  const wanted = { model: keepAddress(config.checkpoint), vqgan: keepAddress(config.vqgan) };
  if (wanted.model === null && wanted.vqgan === null) return 0;
  if (config.modelNote !== null) say(config.modelNote);
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      stopping.abort();
    });
  }
  const args = ["-m", "sidecar.hub.pull"];
  const program = { command: config.python, args, cwd: config.packageRoot, env: {} };
  return pullCheckpoints({ program, ...wanted, onLine: say, signal: stopping.signal });
}

/** Listens first, so that health can be asked while the model loads; then starts the sidecar. */
async function serve(config: Config): Promise<void> {
  const log = createLogger(config.logLevel);
  log.info({ version: config.version }, "--> Starting DALL-E Server");
  const { modelVersion, checkpoint } = config;
  log.info({ checkpoint }, `--> Model selected - DALL-E ${modelVersion}`);
  if (config.modelNote !== null) log.info(config.modelNote);
  const parts = buildParts(config, log);
  const port = await parts.server.listen(config.port, config.host);
  log.info({ host: config.host, port }, "Listening; /ready tells when the model is loaded");
  followSidecar(parts, port);
  handleSignals(parts);
  parts.pool.start();
}

function buildParts(config: Config, log: Logger): Parts {
  const startedAtMs = Date.now();
  const pool = createPool(config, log);
  const metrics = new Metrics();
  const admission = new Admission(pool, config.patienceMs);
  const store = config.saveToDisk ? new ImageStore(config.outputDir) : null;
  const queue = new JobQueue({
    runner: pool,
    unsavedCount: () => store?.report().waitingCount ?? 0,
    quarantine: new Quarantine({
      durationMs: config.quarantineMs,
      promptLimit: config.quarantineLimit,
    }),
    deathLimit: config.deathLimit,
    queueLimit: config.queueLimit,
    refusal: () => admission.refusal(),
    observer: metrics,
  });
  const generator = new PictureGenerator({
    broker: queue,
    encoder: createEncoder(),
    store,
    requestTimeoutMs: config.requestTimeoutMs,
    log,
    observer: metrics,
  });
  const unreadiness = () => admission.unreadiness() ?? queue.describeFull(1);
  const app = createApp({
    log,
    generator,
    format: IMAGE_FORMAT[config.imgFormat],
    models: new ModelCatalogue(config.modelVersion, startedAtMs),
    limits: () => pool.status().ready?.sampling.limits ?? LOOSE_LIMITS,
    unreadiness,
    meter: metrics,
    health: () =>
      buildHealth({
        version: config.version,
        modelVersion: config.modelVersion,
        isStopping: admission.isStopping,
        sidecar: pool.status(),
        sidecars: pool.statuses(),
        queue: queue.report(),
        saving: store?.report() ?? null,
        refusal: unreadiness(),
      }),
  });
  return { config, log, pool, admission, queue, server: createHttpServer(app) };
}

function createPool(config: Config, log: Logger): SidecarPool {
  const { checkpoint, vqgan, slots, chunkTokens, precision, cacheDir } = config;
  const members = config.devices.map((device, index) => {
    const env = device === null ? {} : { CUDA_VISIBLE_DEVICES: device };
    return new Supervisor({
      index,
      program: { command: config.python, args: ["-m", "sidecar"], cwd: config.packageRoot, env },
      config: { checkpoint, vqgan, slots, chunkTokens, precision, cacheDir },
      limits: config.supervision,
      prefetch: config.prefetch,
      transport: config.transport,
      log: log.child({ part: "sidecar" }),
    });
  });
  return new SidecarPool(members);
}

/** Tells the log about the first READY, and ends waiting requests when no sidecar can come. */
function followSidecar({ pool, admission, queue, log, config }: Parts, port: number): void {
  let wasReady = false;
  pool.onStatus((status: SidecarStatus) => {
    if (status.state === "ready" && !wasReady) {
      wasReady = true;
      log.info({ host: config.host, port }, "--> DALL-E Server is up and running!");
    }
    const isHopeless = status.state === "failed" || status.breaker.failedTrials > 0;
    const problem = isHopeless ? admission.refusal() : null;
    if (problem !== null) queue.failAll(problem);
  });
}

/** The first signal stops in order; a second one, or a fault of the server, stops at once. */
function handleSignals(parts: Parts): void {
  const { config, log, pool, admission } = parts;
  const stopAtOnce = (exitCode: number) => {
    pool.kill();
    process.exit(exitCode);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (admission.isStopping) {
        log.warn({ signal }, "Told to stop again: stopping at once");
        stopAtOnce(SIGNAL_EXIT_CODE[signal]);
        return;
      }
      log.info({ signal }, "Stopping: finishing the requests that run");
      void stop(parts).then(() => {
        log.info("Stopped");
        process.exit(0);
      });
    });
  }
  process.on("SIGHUP", () => {
    // The end of a terminal is no wish for another sidecar.
    if (process.stdout.isTTY) process.kill(process.pid, "SIGTERM");
    else if (admission.isStopping) log.warn("Told to start the sidecars anew: not while stopping");
    else void pool.restart({ drainMs: config.drainTimeoutMs });
  });
  const die = (error: unknown) => {
    log.fatal({ err: error }, "The server made a mistake that it cannot continue after");
    stopAtOnce(1);
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
}

async function stop({ config, admission, queue, pool, server }: Parts): Promise<void> {
  admission.stop();
  await queue.drain(config.drainTimeoutMs);
  const { answerGraceMs, goodbyeMs } = config;
  await Promise.all([server.close(answerGraceMs), pool.stop({ drainMs: goodbyeMs })]);
}
