/** From the settings to the limits of supervision. */
import { expect, test } from "vitest";
import { readConfig } from "../support/defaults.js";

test("every setting of supervision reaches the supervisor", () => {
  const { limits } = readConfig(
    ...["--beat_interval", "0.5", "--missed_beats", "4", "--start_missed_beats", "70"],
    ...["--download_timeout", "3", "--load_timeout", "4", "--compile_timeout", "5"],
    ...["--chunk_timeout", "7", "--start_timeout", "9", "--kill_grace", "11"],
    ...["--backoff_base", "12", "--backoff_cap", "13"],
    ...["--breaker_failures", "15", "--breaker_pause", "17"],
  ).sidecar;
  expect(limits).toMatchObject({
    beatIntervalMs: 500,
    missedBeatLimit: 4,
    startMissedBeatLimit: 70,
    phaseBudgetMs: {
      download: 3000,
      load: 4000,
      compile: 5000,
      warm_up: 5000,
      generate: 7000,
      drain: 7000,
    },
    startLimitMs: 9000,
    killGraceMs: 11_000,
    backoffBaseMs: 12_000,
    backoffCapMs: 13_000,
    breakerFailureLimit: 15,
    breakerPauseMs: 17_000,
  });
});
