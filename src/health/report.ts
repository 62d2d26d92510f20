/** The answer of `/health_check`, built from the status of the sidecars and the counts of the queue. */
import type { AppError } from "../errors.js";
import type { StoreReport } from "../images/store.js";
import type { SidecarStatus } from "../sidecar/status.js";
import type { QueueReport } from "../jobs/broker.js";
import { toPublicReason } from "../sidecar/failure.js";

/** Everything a health report is made of. */
interface HealthSources {
  readonly version: string;
  readonly modelVersion: string;
  readonly isStopping: boolean;
  /** The sidecar that serves best. */
  readonly sidecar: SidecarStatus;
  /** All of them, that one too. */
  readonly sidecars: readonly SidecarStatus[];
  readonly queue: QueueReport;
  /** Null when saving to disk is off. */
  readonly saving: StoreReport | null;
  /** Log lines that could not be written. */
  readonly droppedLogLines: number;
  /** Why a request would not run now; null when it would. */
  readonly refusal: AppError | null;
}

/** The answer of `/health_check`. */
export interface HealthReport extends Pick<
  HealthSources,
  "version" | "queue" | "saving" | "droppedLogLines"
> {
  /** True as long as the process can answer at all. */
  readonly success: true;
  readonly state: SidecarStatus["state"] | "stopping";
  readonly model: string;
  /** Whether a request would run now, and why not. */
  readonly ready: boolean;
  readonly reason: string | null;
  readonly uptimeSeconds: number;
  readonly sidecar: SidecarHealth;
  readonly sidecars: readonly SidecarHealth[];
}

/** The public part of a {@link SidecarStatus}: no folders, no log lines. */
export type SidecarHealth = Omit<SidecarStatus, "since" | "lastFailure" | "nextTryAt" | "ready"> & {
  readonly since: string;
  readonly lastFailure: {
    readonly code: string;
    readonly reason: string;
    readonly at: string;
  } | null;
  readonly nextTryAt: string | null;
  readonly device: string | null;
  readonly precision: string | null;
  readonly slots: number | null;
  readonly imageSize: string | null;
  readonly checkpointHash: string | null;
};

export function buildHealth(sources: HealthSources): HealthReport {
  const { version, sidecar, queue, saving, droppedLogLines, refusal } = sources;
  return {
    success: true,
    state: sources.isStopping ? "stopping" : sidecar.state,
    model: sources.modelVersion,
    ready: refusal === null,
    reason: refusal?.message ?? null,
    version,
    // Not the difference of two times of day: the clock of the machine may be set meanwhile.
    uptimeSeconds: Math.floor(process.uptime()),
    sidecar: toSidecarHealth(sidecar),
    sidecars: sources.sidecars.map(toSidecarHealth),
    queue,
    saving,
    droppedLogLines,
  };
}

function toSidecarHealth(status: SidecarStatus): SidecarHealth {
  const { since, lastFailure, nextTryAt, ready, ...rest } = status;
  return {
    ...rest,
    since: toIsoTime(since),
    lastFailure: lastFailure && {
      code: lastFailure.code,
      reason: toPublicReason(lastFailure.reason),
      at: toIsoTime(lastFailure.at),
    },
    nextTryAt: nextTryAt === null ? null : toIsoTime(nextTryAt),
    device: ready?.device ?? null,
    precision: ready?.precision ?? null,
    slots: ready?.slots ?? null,
    imageSize: ready === null ? null : `${ready.imageWidth}x${ready.imageHeight}`,
    checkpointHash: ready?.checkpointHash ?? null,
  };
}

function toIsoTime(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
