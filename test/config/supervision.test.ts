import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { readCommand, type Config } from "../../src/config/config.js";
import { DEFAULT_LIMITS } from "../../src/sidecar/limits.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

function readSupervision(...argv: readonly string[]): Config["supervision"] {
  const command = readCommand({ argv, env: {}, cwd: ROOT, home: ROOT, packageRoot: ROOT });
  if (command.action === "print") throw new Error("expected a configuration");
  return command.config.supervision;
}

test("the defaults of the settings are those of the supervisor", () => {
  expect(readSupervision()).toEqual(DEFAULT_LIMITS);
});

test("every setting of supervision reaches the supervisor", () => {
  const supervision = readSupervision(
    ...["--beat_interval", "0.5", "--missed_beats", "4", "--start_missed_beats", "70"],
    ...["--import_timeout", "2", "--download_timeout", "3", "--load_timeout", "4"],
    ...["--compile_timeout", "5", "--warm_up_timeout", "6", "--chunk_timeout", "7"],
    ...["--hello_timeout", "8", "--start_timeout", "9", "--accept_timeout", "10"],
    ...["--kill_grace", "11", "--backoff_base", "12", "--backoff_cap", "13"],
    ...["--stable_time", "14", "--breaker_failures", "15", "--breaker_window", "16"],
    ...["--breaker_pause", "17", "--log_burst", "18", "--log_rate", "19"],
  );
  expect(supervision).toEqual({
    beatIntervalMs: 500,
    missedBeatLimit: 4,
    startMissedBeatLimit: 70,
    phaseBudgetMs: {
      starting: 2000,
      download: 3000,
      load: 4000,
      compile: 5000,
      warm_up: 6000,
      generate: 7000,
      drain: 7000,
    },
    helloLimitMs: 8000,
    startLimitMs: 9000,
    acceptLimitMs: 10_000,
    killGraceMs: 11_000,
    backoffBaseMs: 12_000,
    backoffCapMs: 13_000,
    stableMs: 14_000,
    breakerFailureLimit: 15,
    breakerWindowMs: 16_000,
    breakerPauseMs: 17_000,
    logBurstLineCount: 18,
    logLinesPerSecond: 19,
  });
});
