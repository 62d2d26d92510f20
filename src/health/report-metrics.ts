import type { HealthReport, SidecarHealth } from "./report.js";
import { BREAKER_STATES } from "../sidecar/restart/breaker.js";
import { SIDECAR_STATES } from "../sidecar/status.js";

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One metric that is read from the health report at the moment of a scrape. */
export interface HealthMetric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly labelNames: readonly string[];
  /** Its samples; none where there is nothing to tell. */
  readonly read: (health: HealthReport) => readonly Sample[];
}

/**
 * Everything that `/health_check` says in numbers, as metrics. They are read from the report itself,
 * so the two cannot differ.
 */
export const HEALTH_METRICS: readonly HealthMetric[] = [
  gauge(
    "dalle_build_info",
    "Always 1; the labels say what runs.",
    ["version", "model"],
    (health) => [{ labels: { version: health.version, model: health.model }, value: 1 }],
  ),
  gauge("dalle_ready", "1 when a request would run now, as in /ready.", [], ({ ready }) =>
    single(Number(ready)),
  ),
  gauge("dalle_stopping", "1 from the stop signal until exit.", [], ({ state }) =>
    single(Number(state === "stopping")),
  ),
  gauge("dalle_queue_limit_images", "Images that may wait.", [], ({ queue }) =>
    single(queue.limit),
  ),
  gauge("dalle_queue_waiting_images", "Images that wait for a sidecar.", [], ({ queue }) =>
    single(queue.waitingImages),
  ),
  gauge("dalle_queue_running_images", "Images that a sidecar is making.", [], ({ queue }) =>
    single(queue.runningImages),
  ),
  gauge("dalle_queue_open_jobs", "Jobs that have not ended.", [], ({ queue }) =>
    single(queue.openJobs),
  ),
  gauge("dalle_quarantined_prompts", "Prompts that are refused for a time.", [], ({ queue }) =>
    single(queue.quarantinedPrompts),
  ),
  counter("dalle_jobs_total", "Jobs that ended, by outcome.", ["outcome"], ({ queue }) => [
    { labels: { outcome: "completed" }, value: queue.completedJobs },
    { labels: { outcome: "failed" }, value: queue.failedJobs },
    { labels: { outcome: "cancelled" }, value: queue.cancelledJobs },
    { labels: { outcome: "rejected" }, value: queue.rejectedJobs },
  ]),
  counter("dalle_images_made_total", "Images that were made.", [], ({ queue }) =>
    single(queue.finishedImages),
  ),
  counter(
    "dalle_images_retried_total",
    "Image attempts that had to be repeated.",
    [],
    ({ queue }) => single(queue.retriedImages),
  ),
  counter(
    "dalle_images_poisonous_total",
    "Images given up because sidecars crashed with them.",
    [],
    ({ queue }) => single(queue.poisonousImages),
  ),
  counter("dalle_images_saved_total", "Images that were saved to disk.", [], ({ saving }) =>
    single(saving?.savedCount ?? 0),
  ),
  counter("dalle_image_save_failures_total", "Images that could not be saved.", [], ({ saving }) =>
    single(saving?.failedCount ?? 0),
  ),
  counter(
    "dalle_log_lines_dropped_total",
    "Log lines that could not be written.",
    [],
    ({ droppedLogLines }) => single(droppedLogLines),
  ),
  perState(
    "dalle_sidecar_state",
    "1 for the state that the sidecar is in.",
    SIDECAR_STATES,
    ({ state }) => state,
  ),
  perSidecar("gauge", "state_since_timestamp_seconds", "When that state began.", ({ since }) =>
    toSeconds(since),
  ),
  perSidecar("gauge", "generation", "Number of spawns so far.", ({ generation }) => generation),
  perReason(
    "restarts_total",
    "Spawns after the first, by why the one before ended.",
    ({ restartReasons }) => restartReasons,
  ),
  perReason("failures_total", "Unrequested ends, by reason.", ({ failures }) => failures),
  perState(
    "dalle_sidecar_breaker_state",
    "1 for the state of the breaker.",
    BREAKER_STATES,
    ({ breaker }) => breaker.state,
  ),
  perSidecar(
    "gauge",
    "recent_failures",
    "Failures that count for the breaker now.",
    ({ breaker }) => breaker.recentFailures,
  ),
  perSidecar(
    "gauge",
    "next_try_timestamp_seconds",
    "When the next spawn is due, while backing off.",
    ({ nextTryAt }) => (nextTryAt === null ? null : toSeconds(nextTryAt)),
  ),
  perSidecar("gauge", "beat_age_seconds", "Time since its last frame.", ({ beatAgeMs }) =>
    beatAgeMs === null ? null : beatAgeMs / 1000,
  ),
  perSidecar(
    "gauge",
    "step_age_seconds",
    "Time since the last step of its compute thread, unless idle.",
    ({ stepAgeMs }) => (stepAgeMs === null ? null : stepAgeMs / 1000),
  ),
  perSidecar(
    "gauge",
    "running_tasks",
    "Tasks that it is working on or has queued.",
    ({ running }) => running,
  ),
  perSidecar(
    "gauge",
    "resident_memory_bytes",
    "Resident memory of its process.",
    ({ rssBytes }) => rssBytes,
  ),
  perSidecar(
    "counter",
    "dropped_frames_total",
    "Frames from unknown peers and answers to ended tasks.",
    ({ droppedFrames }) => droppedFrames,
  ),
  perSidecar(
    "counter",
    "refused_connections_total",
    "Connections without the key, over tcp.",
    ({ refusedConnections }) => refusedConnections,
  ),
];

type Read = HealthMetric["read"];

function gauge(
  name: string,
  help: string,
  labelNames: readonly string[],
  read: Read,
): HealthMetric {
  return { name, help, type: "gauge", labelNames, read };
}

function counter(
  name: string,
  help: string,
  labelNames: readonly string[],
  read: Read,
): HealthMetric {
  return { name, help, type: "counter", labelNames, read };
}

/** One number a sidecar; null leaves it out. */
function perSidecar(
  type: HealthMetric["type"],
  name: string,
  help: string,
  read: (sidecar: SidecarHealth) => number | null,
): HealthMetric {
  const readAll: Read = ({ sidecars }) =>
    sidecars.flatMap((sidecar) => {
      const value = read(sidecar);
      return value === null ? [] : [{ labels: labelOf(sidecar), value }];
    });
  return { name: `dalle_sidecar_${name}`, help, type, labelNames: ["sidecar"], read: readAll };
}

/** One sample for each state that there is: 1 for that of the sidecar, 0 for the others. */
function perState(
  name: string,
  help: string,
  states: readonly string[],
  read: (sidecar: SidecarHealth) => string,
): HealthMetric {
  return gauge(name, help, ["sidecar", "state"], ({ sidecars }) =>
    sidecars.flatMap((sidecar) =>
      states.map((state) => ({
        labels: { ...labelOf(sidecar), state },
        value: Number(state === read(sidecar)),
      })),
    ),
  );
}

function perReason(
  name: string,
  help: string,
  read: (sidecar: SidecarHealth) => Readonly<Record<string, number>>,
): HealthMetric {
  return counter(`dalle_sidecar_${name}`, help, ["sidecar", "reason"], ({ sidecars }) =>
    sidecars.flatMap((sidecar) =>
      Object.entries(read(sidecar)).map(([reason, value]) => ({
        labels: { ...labelOf(sidecar), reason },
        value,
      })),
    ),
  );
}

function single(value: number): readonly Sample[] {
  return [{ labels: {}, value }];
}

function labelOf({ index }: SidecarHealth): { readonly sidecar: string } {
  return { sidecar: String(index) };
}

function toSeconds(isoTime: string): number {
  return Date.parse(isoTime) / 1000;
}
