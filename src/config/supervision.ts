/** The limits of supervision, from the settings and from what is no setting. */
import type { SupervisionLimits } from "../sidecar/limits.js";
import type { Settings } from "./flags.js";

const MINUTE_MS = 60_000;

/** Limits that are far from what they guard on any machine, so that nothing is gained by a flag. */
const FIXED_LIMITS = {
  helloLimitMs: MINUTE_MS,
  acceptLimitMs: 5_000,
  stableMs: MINUTE_MS,
  breakerWindowMs: 10 * MINUTE_MS,
  logBurstLineCount: 2_000,
  logLinesPerSecond: 200,
} as const;
/** For the imports of Python, of which a cold disk makes minutes. */
const IMPORT_BUDGET_MS = 2 * MINUTE_MS;

export function resolveSupervision(settings: Settings): SupervisionLimits {
  return {
    ...FIXED_LIMITS,
    beatIntervalMs: toMs(settings.beat_interval),
    missedBeatLimit: settings.missed_beats,
    startMissedBeatLimit: settings.start_missed_beats,
    phaseBudgetMs: {
      starting: IMPORT_BUDGET_MS,
      download: toMs(settings.download_timeout),
      load: toMs(settings.load_timeout),
      compile: toMs(settings.compile_timeout),
      warm_up: toMs(settings.compile_timeout),
      generate: toMs(settings.chunk_timeout),
      drain: toMs(settings.chunk_timeout),
    },
    startLimitMs: toMs(settings.start_timeout),
    killGraceMs: toMs(settings.kill_grace),
    backoffBaseMs: toMs(settings.backoff_base),
    backoffCapMs: toMs(settings.backoff_cap),
    breakerFailureLimit: settings.breaker_failures,
    breakerPauseMs: toMs(settings.breaker_pause),
  };
}

/** Whole milliseconds of a setting in seconds. */
export function toMs(seconds: number): number {
  return Math.round(seconds * 1000);
}
