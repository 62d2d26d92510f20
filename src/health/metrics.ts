import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { JobEvent } from "../jobs/events.js";
import type { HealthReport } from "./report.js";
import { listHealthMetrics } from "./report-metrics.js";

/** The labels that a metric of the health report can have. */
const HEALTH_LABELS = ["version", "model", "outcome", "sidecar", "state", "reason"];
/** From the smallest checkpoint on a fast device to a full queue; seconds. */
const BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 900, 3600];

/**
 * What is measured, as text for Prometheus. States and counts are read from the health report at
 * the moment of a scrape; only what has no place there (durations, requests by route) is kept here.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter;
  readonly #requestSeconds: Histogram;
  readonly #waitSeconds: Histogram;
  readonly #imageSeconds: Histogram;
  readonly #imageTokens: Counter;

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Counter({
      name: "dalle_http_requests_total",
      help: "Requests by route and status; 499 when the caller left first.",
      labelNames: ["route", "status"],
      registers,
    });
    const createHistogram = (name: string, help: string, labelNames: string[] = []) =>
      new Histogram({ name, help, labelNames, buckets: BUCKETS, registers });
    this.#requestSeconds = createHistogram(
      "dalle_http_request_duration_seconds",
      "From the arrival of a request to the end of its answer.",
      ["route"],
    );
    this.#waitSeconds = createHistogram(
      "dalle_queue_wait_seconds",
      "From the arrival of an image in the queue to its first start.",
    );
    this.#imageSeconds = createHistogram(
      "dalle_image_duration_seconds",
      "From the start of the decoding of an image to its pixels.",
    );
    this.#imageTokens = new Counter({
      name: "dalle_image_tokens_total",
      help: "Image tokens that were decoded, counted after each chunk.",
      registers,
    });
  }

  /** The value of the header Content-Type of what `render` gives. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The text format of Prometheus, with the states and counts of `health`. */
  render(health: HealthReport): Promise<string> {
    // A registry of its own: no sample of an earlier report can stay in it.
    const registry = new Registry();
    for (const { name, help, samples } of listHealthMetrics(health)) {
      const options = { name, help, labelNames: HEALTH_LABELS, registers: [registry] };
      const metric = name.endsWith("_total") ? new Counter(options) : new Gauge(options);
      for (const { labels, value } of samples) metric.inc({ ...labels }, value);
    }
    return Registry.merge([this.#registry, registry]).metrics();
  }

  /** @param route - a pattern of the routes, never the path of a request: there is no end of those. */
  observeRequest(route: string, status: number, seconds: number): void {
    this.#requests.inc({ route, status: String(status) });
    this.#requestSeconds.observe({ route }, seconds);
  }

  /** Counts what jobs report; a {@link JobEvent} for each step of each of them. */
  observeJob(event: JobEvent): void {
    if (event.type === "started") this.#waitSeconds.observe(event.waitedS);
    else if (event.type === "progress") this.#imageTokens.inc(event.newTokens);
    else if (event.type === "image") this.#imageSeconds.observe(event.image.seconds);
  }
}
