/** `serve`: listens, keeps the sidecars running, and stops in order. */
import { isatty } from "node:tty";
import type { Config } from "../config/config.js";
import { prepareCacheFolder } from "./cache-folder.js";
import { ImageStore } from "../images/store.js";
import { createOutputLogger, type Logger } from "../log.js";
import { createService, type Service } from "../service.js";
import { SidecarPool } from "../sidecar/pool.js";
import { Supervisor } from "../sidecar/supervisor.js";

/** What answers get to leave once their images are made. */
export const ANSWER_GRACE_MS = 5_000;
/** What an idle sidecar gets to end by itself. */
export const GOODBYE_MS = 2_000;

const SIGNAL_EXIT_CODE = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Listens first, so that health can be asked while the model loads; then starts the sidecars.
 *
 * @throws AppError `listen_failed`.
 */
export async function serve(config: Config): Promise<void> {
  const { host, outputDir } = config;
  const { log, droppedLineCount } = createOutputLogger(config.logLevel);
  log.info({ version: config.service.version }, "--> Starting DALL-E Server");
  const { checkpoint } = config.sidecar.config;
  log.info({ checkpoint }, `--> Model selected - DALL-E ${config.service.modelVersion}`);
  for (const warning of config.warnings) log.warn(warning);
  if (config.modelNote !== null) log.info(config.modelNote);
  const pool = await createPool(config, log);
  const service = createService({
    settings: config.service,
    runner: pool,
    sidecars: pool,
    store: outputDir === null ? null : new ImageStore(outputDir),
    log,
    droppedLogLines: droppedLineCount,
  });
  const port = await service.server.listen(config.port, host);
  log.info({ host, port }, "Listening; /ready tells when the model is loaded");
  const forget = pool.onStatus(() => {
    if (pool.status().state !== "ready") return;
    forget();
    log.info({ host, port }, "--> DALL-E Server is up and running!");
  });
  handleSignals(config, log, pool, service);
  pool.start();
}

async function createPool(config: Config, log: Logger): Promise<SidecarPool> {
  const { devices, python, sidecarProgram, packageRoot } = config;
  const cacheDir = await prepareCacheFolder(config.sidecar.config.cacheDir, log);
  const sidecar = { ...config.sidecar, config: { ...config.sidecar.config, cacheDir } };
  const members = devices.map((device, index) => {
    const env = device === null ? {} : { CUDA_VISIBLE_DEVICES: device };
    const program = { command: python, args: sidecarProgram, cwd: packageRoot, env };
    return new Supervisor({ ...sidecar, index, program, log: log.child({ part: "sidecar" }) });
  });
  return new SidecarPool(members);
}

/** The first signal stops in order; a second one, or a fault of the server, stops at once. */
function handleSignals(config: Config, log: Logger, pool: SidecarPool, service: Service): void {
  const { admission, queue, server } = service;
  const drainMs = config.drainTimeoutMs;
  const stop = async () => {
    admission.stop();
    await queue.drain(drainMs);
    await Promise.all([server.close(ANSWER_GRACE_MS), pool.stop({ drainMs: GOODBYE_MS })]);
    log.info("Stopped");
    process.exit(0);
  };
  const stopAtOnce = (exitCode: number) => {
    pool.kill();
    process.exit(exitCode);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (admission.isStopping) {
        log.warn({ signal }, "Second stop signal: exiting now");
        stopAtOnce(SIGNAL_EXIT_CODE[signal]);
        return;
      }
      const facts = { signal, requests: queue.report().openJobs, limitMs: drainMs };
      log.info(facts, "Stopping: finishing the running requests; a second signal stops at once");
      void stop();
    });
  }
  process.on("SIGHUP", () => {
    // The end of a terminal is no wish for another sidecar.
    if (isatty(1)) process.kill(process.pid, "SIGTERM");
    else if (admission.isStopping) log.warn("Restart ignored: the server is stopping");
    else void pool.restart({ drainMs });
  });
  const die = (error: unknown) => {
    log.fatal({ err: error }, "Unexpected error, exiting");
    stopAtOnce(1);
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
}
