/** The settings of how sidecars are watched, restarted, stopped and connected. */
import { z } from "zod";
import { countFlag, flag, groupFlags, secondsFlag, wordText } from "./flag-kinds.js";

/** Longer than anything may ever take. */
const DAY_S = 86_400;

const watching = groupFlags("Health checks", {
  beat_interval: secondsFlag(0.05, 60, "1").describe("time between two heartbeats of a sidecar"),
  missed_beats: countFlag(1, 1_000, "3").describe(
    "missed heartbeats after which it counts as frozen",
  ),
  start_missed_beats: countFlag(1, 10_000, "60").describe(
    "the same until it is ready: reading a checkpoint may hold Python's lock",
  ),
  start_timeout: secondsFlag(1, DAY_S, "3600").describe(
    "longest start: reading, compiling, warming up; downloads are not counted",
  ),
  download_timeout: secondsFlag(1, DAY_S, "600").describe(
    "longest step while it fetches a checkpoint",
  ),
  load_timeout: secondsFlag(1, DAY_S, "600").describe("longest step while it reads a checkpoint"),
  compile_timeout: secondsFlag(1, DAY_S, "1200").describe(
    "longest step while it compiles and warms up",
  ),
  chunk_timeout: secondsFlag(1, DAY_S, "300").describe("longest step while it makes images"),
});

const restarting = groupFlags("Restarts", {
  backoff_base: secondsFlag(0, 3_600, "0.5").describe("upper bound of the first restart delay"),
  backoff_cap: secondsFlag(0, DAY_S, "30").describe(
    "upper bound of any restart delay (doubles per failure, full jitter)",
  ),
  breaker_failures: countFlag(1, 1_000, "5").describe(
    "failures within 10 minutes that stop the restarts",
  ),
  breaker_pause: secondsFlag(1, DAY_S, "60").describe(
    "pause before the next trial once they are stopped",
  ),
});

const stopping = groupFlags("Shutdown", {
  drain_timeout: secondsFlag(0, 3_600, "60").describe(
    "time to finish running work on SIGTERM, and per sidecar on SIGHUP",
  ),
  kill_grace: secondsFlag(0, 600, "2").describe(
    "from SIGTERM to SIGKILL of a sidecar that has failed",
  ),
});

const address = z
  .union([z.ipv4(), z.ipv6()], { error: "an IP address of this machine" })
  .refine((text) => !/^[0:.]+$/.test(text), {
    error: "one IP address of this machine, not all of them",
  });

const transport = groupFlags("Transport", {
  sidecar_transport: flag(wordText(["ipc", "tcp"]), "NAME", "ipc").describe(
    "ipc: a socket in a folder of this user; tcp: encrypted, for one key only",
  ),
  sidecar_host: flag(address, "ADDRESS", "127.0.0.1").describe("address that tcp listens on"),
});

export const supervision = { ...watching, ...restarting, ...stopping, ...transport };
