/** The settings of how sidecars are watched, restarted, stopped and connected. */
import { z } from "zod";
import { countFlag, flagDocs, groupFlags, secondsFlag, wordText } from "./flag-kinds.js";

/** Longer than anything may ever take. */
const DAY_S = 86_400;

const watching = groupFlags("Health checks", {
  beat_interval: secondsFlag([0.05, 60], "1", "time between two heartbeats of a sidecar"),
  missed_beats: countFlag([1, 1_000], "3", "missed heartbeats after which it counts as frozen"),
  start_missed_beats: countFlag(
    [1, 10_000],
    "60",
    "the same until it is ready: reading a checkpoint may hold Python's lock",
  ),
  start_timeout: secondsFlag(
    [1, DAY_S],
    "3600",
    "longest start: reading, compiling, warming up; downloads are not counted",
  ),
  download_timeout: secondsFlag([1, DAY_S], "600", "longest step while it fetches a checkpoint"),
  load_timeout: secondsFlag([1, DAY_S], "600", "longest step while it reads a checkpoint"),
  compile_timeout: secondsFlag([1, DAY_S], "1200", "longest step while it compiles and warms up"),
  chunk_timeout: secondsFlag([1, DAY_S], "300", "longest step while it makes images"),
});

const restarting = groupFlags("Restarts", {
  backoff_base: secondsFlag([0, 3_600], "0.5", "upper bound of the first restart delay"),
  backoff_cap: secondsFlag(
    [0, DAY_S],
    "30",
    "upper bound of any restart delay (doubles per failure, full jitter)",
  ),
  breaker_failures: countFlag([1, 1_000], "5", "failures within 10 minutes that stop the restarts"),
  breaker_pause: secondsFlag([1, DAY_S], "60", "pause before the next trial once they are stopped"),
});

const stopping = groupFlags("Shutdown", {
  drain_timeout: secondsFlag(
    [0, 3_600],
    "60",
    "time to finish running work on SIGTERM, and per sidecar on SIGHUP",
  ),
  kill_grace: secondsFlag([0, 600], "2", "from SIGTERM to SIGKILL of a sidecar that has failed"),
});

const transport = groupFlags("Transport", {
  sidecar_transport: wordText(["ipc", "tcp"]).register(flagDocs, {
    placeholder: "NAME",
    about: "ipc: a socket in a folder of this user; tcp: encrypted, for one key only",
    default: "ipc",
  }),
  sidecar_host: z
    .union([z.ipv4(), z.ipv6()], { error: "an IP address of this machine" })
    .refine((text) => !/^[0:.]+$/.test(text), {
      error: "one IP address of this machine, not all of them",
    })
    .register(flagDocs, {
      placeholder: "ADDRESS",
      about: "address that tcp listens on",
      default: "127.0.0.1",
    }),
});

export const supervision = { ...watching, ...restarting, ...stopping, ...transport };
