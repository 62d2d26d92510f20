/** The server over anything that makes images: the same for the program and for its tests. */
import { buildHealth } from "./health/report.js";
import { Metrics } from "./health/metrics.js";
import { createApp } from "./http/app.js";
import { ModelCatalogue } from "./http/routes/models.js";
import { createHttpServer, type HttpServer } from "./http/server.js";
import { createEncoder, type ImageFormat } from "./images/encode.js";
import type { ImageStore } from "./images/store.js";
import { Admission } from "./jobs/admission.js";
import { ImageService } from "./jobs/image-service.js";
import { Quarantine } from "./jobs/quarantine.js";
import { JobQueue } from "./jobs/queue.js";
import type { Logger } from "./log.js";
import type { SidecarPool } from "./sidecar/pool.js";
import type { TaskRunner } from "./sidecar/task.js";

export interface ServiceSettings {
  readonly version: string;
  readonly modelVersion: string;
  /** Of the images of `/dalle`. */
  readonly format: ImageFormat;
  readonly queueLimit: number;
  readonly requestTimeoutMs: number;
  /** A restart that is further away is not worth waiting for in the queue. */
  readonly patienceMs: number;
  readonly deathLimit: number;
  readonly quarantineMs: number;
}

interface ServiceOptions {
  readonly settings: ServiceSettings;
  readonly runner: TaskRunner;
  readonly sidecars: Pick<SidecarPool, "status" | "statuses" | "onStatus">;
  /** Null when saving to disk is off. */
  readonly store: ImageStore | null;
  readonly log: Logger;
  /** How many log lines could not be written. */
  readonly droppedLogLines: () => number;
}

export interface Service {
  /** Not listening yet. */
  readonly server: HttpServer;
  readonly admission: Admission;
  readonly queue: JobQueue;
}

export function createService(options: ServiceOptions): Service {
  const { settings, runner, sidecars, store, log, droppedLogLines } = options;
  const { version, modelVersion } = settings;
  const metrics = new Metrics();
  const admission = new Admission(sidecars, settings.patienceMs);
  const queue = new JobQueue({
    runner,
    queueLimit: settings.queueLimit,
    deathLimit: settings.deathLimit,
    quarantine: new Quarantine(settings.quarantineMs),
    encoder: createEncoder(),
    admission,
    unsavedCount: () => store?.report().waitingCount ?? 0,
  });
  queue.onEvent((event) => {
    metrics.observeJob(event);
  });
  const { requestTimeoutMs } = settings;
  const imageService = new ImageService({ broker: queue, store, requestTimeoutMs, log });
  const app = createApp({
    log,
    imageService,
    format: settings.format,
    models: new ModelCatalogue(modelVersion, Date.now()),
    limits: () => sidecars.status().ready?.sampling.limits ?? null,
    readyRefusal: () => queue.readyRefusal(),
    meter: metrics,
    health: () =>
      buildHealth({
        version,
        modelVersion,
        isStopping: admission.isStopping,
        sidecar: sidecars.status(),
        sidecars: sidecars.statuses(),
        queue: queue.report(),
        saving: store?.report() ?? null,
        droppedLogLines: droppedLogLines(),
        refusal: queue.readyRefusal(),
      }),
  });
  return { server: createHttpServer(app), admission, queue };
}
