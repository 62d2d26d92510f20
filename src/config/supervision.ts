import type { Settings } from "./flags.js";

/** The times and numbers of supervision, as the supervisor takes them. */
export interface SupervisionSettings {
  readonly beatIntervalMs: number;
  readonly missedBeatLimit: number;
  readonly startMissedBeatLimit: number;
  readonly phaseBudgetMs: {
    readonly starting: number;
    readonly download: number;
    readonly load: number;
    readonly compile: number;
    readonly warm_up: number;
    readonly generate: number;
    readonly drain: number;
  };
  readonly helloLimitMs: number;
  readonly startLimitMs: number;
  readonly acceptLimitMs: number;
  readonly killGraceMs: number;
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
  readonly stableMs: number;
  readonly breakerFailureLimit: number;
  readonly breakerWindowMs: number;
  readonly breakerPauseMs: number;
  readonly logBurstLineCount: number;
  readonly logLinesPerSecond: number;
}

export function resolveSupervision(settings: Settings): SupervisionSettings {
  return Object.freeze({
    beatIntervalMs: toMs(settings.beat_interval),
    missedBeatLimit: settings.missed_beats,
    startMissedBeatLimit: settings.start_missed_beats,
    phaseBudgetMs: Object.freeze({
      starting: toMs(settings.import_timeout),
      download: toMs(settings.download_timeout),
      load: toMs(settings.load_timeout),
      compile: toMs(settings.compile_timeout),
      warm_up: toMs(settings.warm_up_timeout),
      generate: toMs(settings.chunk_timeout),
      drain: toMs(settings.chunk_timeout),
    }),
    helloLimitMs: toMs(settings.hello_timeout),
    startLimitMs: toMs(settings.start_timeout),
    acceptLimitMs: toMs(settings.accept_timeout),
    killGraceMs: toMs(settings.kill_grace),
    backoffBaseMs: toMs(settings.backoff_base),
    backoffCapMs: toMs(settings.backoff_cap),
    stableMs: toMs(settings.stable_time),
    breakerFailureLimit: settings.breaker_failures,
    breakerWindowMs: toMs(settings.breaker_window),
    breakerPauseMs: toMs(settings.breaker_pause),
    logBurstLineCount: settings.log_burst,
    logLinesPerSecond: settings.log_rate,
  });
}

/** Whole milliseconds of a setting in seconds. */
export function toMs(seconds: number): number {
  return Math.round(seconds * 1000);
}
