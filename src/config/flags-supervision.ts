import { z } from "zod";
import { countFlag, flagDocs, secondsFlag, wordText } from "./flag-kinds.js";

/** The settings of how sidecars are watched, started anew, stopped and spoken to. */

/** Longer than anything may ever take. */
const DAY_S = 86_400;

const watching = {
  beat_interval: secondsFlag([0.05, 60], "1", "time between two signs of life"),
  missed_beats: countFlag([1, 1_000], "3", "beats without a sign of life that mean frozen"),
  start_missed_beats: countFlag(
    [1, 10_000],
    "60",
    "the same until it is ready: reading a checkpoint may hold Python's lock",
  ),
  hello_timeout: secondsFlag([1, DAY_S], "60", "from the start of the process to its first word"),
  start_timeout: secondsFlag(
    [1, DAY_S],
    "3600",
    "longest start: reading, compiling, warming up; downloads are not counted",
  ),
  accept_timeout: secondsFlag([0.1, 3_600], "5", "from sending an image to its being accepted"),
  import_timeout: secondsFlag([1, DAY_S], "120", "longest step while it imports its libraries"),
  download_timeout: secondsFlag([1, DAY_S], "600", "longest step while it fetches a checkpoint"),
  load_timeout: secondsFlag([1, DAY_S], "600", "longest step while it reads a checkpoint"),
  compile_timeout: secondsFlag([1, DAY_S], "1200", "longest step while it compiles"),
  warm_up_timeout: secondsFlag([1, DAY_S], "1200", "longest step while it warms up"),
  chunk_timeout: secondsFlag([1, DAY_S], "300", "longest step while it makes images"),
  log_burst: countFlag([1, 1_000_000], "2000", "lines of its output that are logged at once"),
  log_rate: countFlag([1, 100_000], "200", "lines a second that are logged for ever"),
};

const restarting = {
  backoff_base: secondsFlag([0, 3_600], "0.5", "the first restart waits at most so long"),
  backoff_cap: secondsFlag(
    [0, DAY_S],
    "30",
    "the limit doubles with every failure, up to this; each wait is drawn below it",
  ),
  stable_time: secondsFlag(
    [1, DAY_S],
    "60",
    "ready for so long, and with an image made, it counts as healthy again",
  ),
  breaker_failures: countFlag([1, 1_000], "5", "failures within the window that stop its restarts"),
  breaker_window: secondsFlag([1, DAY_S], "600", "how long a failure counts"),
  breaker_pause: secondsFlag([1, DAY_S], "60", "from the stop of the restarts to the next trial"),
};

const stopping = {
  drain_timeout: secondsFlag(
    [0, 3_600],
    "60",
    "time for what runs, at SIGTERM and for each sidecar at SIGHUP",
  ),
  answer_grace: secondsFlag([0, 600], "5", "time for answers to leave when their images are made"),
  goodbye_time: secondsFlag([0, 600], "2", "time for an idle sidecar to end by itself"),
  kill_grace: secondsFlag([0, 600], "2", "from SIGTERM to SIGKILL of a sidecar that has failed"),
};

const talking = {
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
      about: "where tcp listens",
      default: "127.0.0.1",
    }),
};

export const SUPERVISION_GROUPS = {
  "Watching a sidecar": watching,
  "Starting it anew": restarting,
  Stopping: stopping,
  "Talking to it": talking,
} as const;
