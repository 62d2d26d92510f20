import { EventEmitter, once } from "node:events";
import { z } from "zod";
import { AppError } from "../../src/errors.js";
import { createApp } from "../../src/http/app.js";
import type { SamplingLimits } from "../../src/http/request-fields.js";
import { ModelCatalogue } from "../../src/http/routes/models.js";
import { createHttpServer } from "../../src/http/server.js";
import { createEncoder, type ImageFormat } from "../../src/images/encode.js";
import type { ImageStore } from "../../src/images/store.js";
import { Admission } from "../../src/jobs/admission.js";
import { ImageService } from "../../src/jobs/image-service.js";
import { buildHealth } from "../../src/health/report.js";
import { Quarantine } from "../../src/jobs/quarantine.js";
import { JobQueue } from "../../src/jobs/queue.js";
import { createLogger } from "../../src/log.js";
import { Metrics } from "../../src/health/metrics.js";
import { FakeRunner } from "./fake-runner.js";
import { FakeSidecar } from "./fake-sidecar-view.js";

export const TEST_LIMITS: SamplingLimits = {
  condScale: [1, 30],
  temperature: [0.1, 5],
  topK: [0, 1000],
  topP: [0.01, 1],
};

export interface TestServerOptions {
  readonly runner?: FakeRunner;
  readonly sidecar?: FakeSidecar;
  readonly format?: ImageFormat;
  readonly store?: ImageStore;
  readonly queueLimit?: number;
  readonly requestTimeoutMs?: number;
}

export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly runner: FakeRunner;
  readonly sidecar: FakeSidecar;
  readonly admission: Admission;
  readonly queue: JobQueue;
  /** The parsed log lines so far. */
  readonly logLines: readonly LogLine[];
  /** Waits for a log line with this message. */
  untilLogged(message: string): Promise<void>;
  close(): Promise<void>;
}

const logLineSchema = z.record(z.string(), z.unknown());
export type LogLine = Readonly<z.output<typeof logLineSchema>>;

/** The whole server behind a real socket; only the sidecar is the test's own. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const runner = options.runner ?? new FakeRunner();
  const sidecar = options.sidecar ?? new FakeSidecar("ready");
  const logLines: LogLine[] = [];
  const logEvents = new EventEmitter();
  const log = createLogger("debug", {
    write: (text) => {
      const line = logLineSchema.parse(JSON.parse(text));
      logLines.push(line);
      logEvents.emit("line");
    },
  });
  const untilLogged = async (message: string) => {
    while (!logLines.some((line) => line["msg"] === message)) await once(logEvents, "line");
  };
  const metrics = new Metrics();
  const admission = new Admission(sidecar, 60_000);
  const queue = new JobQueue({
    runner,
    queueLimit: options.queueLimit ?? 500,
    encoder: createEncoder(),
    admission,
    quarantine: new Quarantine({ durationMs: 600_000, promptLimit: 1_000 }),
    deathLimit: 2,
    unsavedCount: () => options.store?.report().waitingCount ?? 0,
  });
  queue.onEvent((event) => {
    metrics.observeJob(event);
  });
  const store = options.store ?? null;
  const requestTimeoutMs = options.requestTimeoutMs ?? 60_000;
  const imageService = new ImageService({ broker: queue, store, requestTimeoutMs, log });
  const unreadiness = (): AppError | null => admission.readyRefusal() ?? queue.refusal(1);
  const app = createApp({
    log,
    imageService,
    format: options.format ?? "jpeg",
    models: new ModelCatalogue("Nano", Date.now()),
    limits: () => TEST_LIMITS,
    unreadiness,
    meter: metrics,
    health: () =>
      buildHealth({
        version: "0.0.0-test",
        modelVersion: "Nano",
        isStopping: admission.isStopping,
        sidecar: sidecar.status(),
        sidecars: [sidecar.status()],
        queue: queue.report(),
        saving: store?.report() ?? null,
        refusal: unreadiness(),
      }),
  });
  const server = createHttpServer(app);
  const port = await server.listen(0, "127.0.0.1");
  const close = async () => {
    queue.failAll(new AppError("shutting_down", "The test is over."));
    await server.close(0);
  };
  const url = `http://127.0.0.1:${port}`;
  return { url, port, runner, sidecar, admission, queue, logLines, untilLogged, close };
}
