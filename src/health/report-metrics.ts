import type { HealthReport, SidecarHealth } from "./report.js";
import { BREAKER_STATES } from "../sidecar/restart/breaker.js";
import { SIDECAR_STATES } from "../sidecar/status.js";

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A name that ends in `_total` is that of a counter, any other that of a gauge. */
interface HealthMetric {
  readonly name: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** One number without labels, or none, or a sample for each set of labels. */
type Reading = number | null | readonly Sample[];
type Row<Content> = readonly [name: string, help: string, content: Content];

/**
 * Everything that `/health_check` says in numbers, as metrics. They are read from the report itself,
 * so the two cannot differ.
 */
export function listHealthMetrics(health: HealthReport): readonly HealthMetric[] {
  const ofServer = readServer(health).map(([name, help, reading]) => {
    return { name: `dalle_${name}`, help, samples: toSamples(reading) };
  });
  const ofSidecars = SIDECAR_METRICS.map(([name, help, read]) => {
    const samples = health.sidecars.flatMap((sidecar) =>
      toSamples(read(sidecar)).map(({ labels, value }) => {
        return { labels: { sidecar: String(sidecar.index), ...labels }, value };
      }),
    );
    return { name: `dalle_sidecar_${name}`, help, samples };
  });
  return [...ofServer, ...ofSidecars];
}

function readServer({
  queue,
  saving,
  droppedLogLines,
  ...health
}: HealthReport): readonly Row<Reading>[] {
  const { version, model, ready, state } = health;
  const outcomes = {
    completed: queue.completedJobs,
    failed: queue.failedJobs,
    cancelled: queue.cancelledJobs,
    rejected: queue.rejectedJobs,
  };
  return [
    [
      "build_info",
      "Always 1; the labels say what runs.",
      [{ labels: { version, model }, value: 1 }],
    ],
    ["ready", "1 when a request would run now, as in /ready.", Number(ready)],
    ["stopping", "1 from the stop signal until exit.", Number(state === "stopping")],
    ["queue_limit_images", "Images that may wait.", queue.limit],
    ["queue_waiting_images", "Images that wait for a sidecar.", queue.waitingImages],
    ["queue_running_images", "Images that a sidecar is making.", queue.runningImages],
    ["queue_open_jobs", "Jobs that have not ended.", queue.openJobs],
    ["quarantined_prompts", "Prompts that are refused for a time.", queue.quarantinedPrompts],
    ["jobs_total", "Jobs that ended, by outcome.", sampleEach("outcome", outcomes)],
    ["images_made_total", "Images that were made.", queue.finishedImages],
    ["images_retried_total", "Image attempts that had to be repeated.", queue.retriedImages],
    [
      "images_poisonous_total",
      "Images given up because sidecars crashed with them.",
      queue.poisonousImages,
    ],
    ["images_saved_total", "Images that were saved to disk.", saving?.savedCount ?? 0],
    ["image_save_failures_total", "Images that could not be saved.", saving?.failedCount ?? 0],
    ["log_lines_dropped_total", "Log lines that could not be written.", droppedLogLines],
  ];
}

const SIDECAR_METRICS: readonly Row<(sidecar: SidecarHealth) => Reading>[] = [
  [
    "state",
    "1 for the state that the sidecar is in.",
    ({ state }) => markOne(SIDECAR_STATES, state),
  ],
  ["state_since_timestamp_seconds", "When that state began.", ({ since }) => toSeconds(since)],
  ["generation", "Number of spawns so far.", ({ generation }) => generation],
  [
    "restarts_total",
    "Spawns after the first, by why the one before ended.",
    ({ restartReasons }) => sampleEach("reason", restartReasons),
  ],
  [
    "failures_total",
    "Unrequested ends, by reason.",
    ({ failures }) => sampleEach("reason", failures),
  ],
  [
    "breaker_state",
    "1 for the state of the breaker.",
    ({ breaker }) => markOne(BREAKER_STATES, breaker.state),
  ],
  [
    "recent_failures",
    "Failures that count for the breaker now.",
    ({ breaker }) => breaker.recentFailures,
  ],
  [
    "next_try_timestamp_seconds",
    "When the next spawn is due, while backing off.",
    ({ nextTryAt }) => (nextTryAt === null ? null : toSeconds(nextTryAt)),
  ],
  [
    "beat_age_seconds",
    "Time since its last frame.",
    ({ beatAgeMs }) => (beatAgeMs === null ? null : beatAgeMs / 1000),
  ],
  [
    "step_age_seconds",
    "Time since the last step of its compute thread, unless idle.",
    ({ stepAgeMs }) => (stepAgeMs === null ? null : stepAgeMs / 1000),
  ],
  ["running_tasks", "Tasks that it is working on or has queued.", ({ running }) => running],
  ["resident_memory_bytes", "Resident memory of its process.", ({ rssBytes }) => rssBytes],
  [
    "dropped_frames_total",
    "Frames from unknown peers and answers to ended tasks.",
    ({ droppedFrames }) => droppedFrames,
  ],
  [
    "refused_connections_total",
    "Connections without the key, over tcp.",
    ({ refusedConnections }) => refusedConnections,
  ],
];

function toSamples(reading: Reading): readonly Sample[] {
  if (reading === null) return [];
  return typeof reading === "number" ? [{ labels: {}, value: reading }] : reading;
}

/** A sample for each of some counts, under their names. */
function sampleEach(label: string, counts: Readonly<Record<string, number>>): readonly Sample[] {
  return Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }));
}

/** A sample for each state that there is: 1 for the one that holds, 0 for the others. */
function markOne(states: readonly string[], holding: string): readonly Sample[] {
  return states.map((state) => ({ labels: { state }, value: Number(state === holding) }));
}

function toSeconds(isoTime: string): number {
  return Date.parse(isoTime) / 1000;
}
