/** The servers that are asked, and when each request comes. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect } from "vitest";
import { BuiltServer, type Health } from "../../harness/built-server.mjs";
import { fakeSidecar } from "../../harness/sidecar-program.mjs";
import { START_LIMIT_MS } from "../../harness/until.mjs";
import type { Ask } from "./exchange.js";
import { draw, EVERYTHING, METRICS, NANO, REFUSED, SAVED, STATE } from "./requests.js";

/** Sends one request, notes its answer, and returns its images in base64. */
type Send = (request: Ask) => Promise<string[]>;
type Play = (server: BuiltServer, send: Send) => Promise<void>;

export interface Scene {
  readonly name: string;
  /** `folder` is for the use of this scene. */
  readonly start: (folder: string) => Promise<BuiltServer>;
  readonly play: Play;
  /** False where the pixels depend on the machine. */
  readonly hasPixels?: false;
  /** Where in `folder` the server saves its images, if it does. */
  readonly output?: string;
  /** True where the scene itself stops the server. */
  readonly isStopped?: true;
}

/** A busy machine is no fault of a sidecar. */
const PATIENT = ["--missed_beats", "600"];

type IsWanted = (health: Health) => boolean;
const until = (server: BuiltServer, isWanted: IsWanted) =>
  server.untilHealth(isWanted, START_LIMIT_MS);

/** Stops the server unless that has been done, waits for its end, and returns its log. */
export async function end(
  server: BuiltServer,
  { isStopped }: Scene,
): Promise<BuiltServer["lines"]> {
  await (isStopped === true ? server.exited : server.stop());
  return server.lines;
}

async function sendAll(requests: readonly Ask[], send: Send): Promise<void> {
  for (const request of requests) await send(request);
}

/** Asks when every sidecar is ready and has let go of every task. */
function whenReady(requests: readonly Ask[]): Play {
  return async (server, send) => {
    await server.untilReady();
    await until(server, ({ sidecars }) =>
      sidecars.every(({ state, running }) => state === "ready" && running === 0),
    );
    await sendAll(requests, send);
  };
}

/** Asks what a server refuses once its health is as wanted. */
function whenHealth(isWanted: IsWanted): Play {
  return async (server, send) => {
    await until(server, isWanted);
    await sendAll(REFUSED, send);
  };
}

/** Does something while a request for `imageCount` images waits for the gate of the fake sidecar. */
function whileHeld(imageCount: number, meanwhile: Play): Play {
  return async (server, send) => {
    await server.untilReady();
    const answered = send(draw("held", imageCount));
    await until(server, ({ queue }) => queue.runningImages === 2);
    await meanwhile(server, send);
    await writeFile(path.join(server.folder, "gate"), "");
    await answered;
  };
}

const kill: Play = async (server) => {
  process.kill((await server.health()).sidecar.pid ?? 0, "SIGKILL");
};
const refuse: Play = (_server, send) => sendAll(REFUSED, send);
const stop: Play = (server, send) => {
  server.kill("SIGTERM");
  return whenHealth(({ state }) => state === "stopping")(server, send);
};
const poison = whenReady([draw("good", 2), draw("poison", 1), draw("poison", 2)]);

const inTurn =
  (...plays: readonly Play[]): Play =>
  async (server, send) => {
    for (const play of plays) await play(server, send);
  };

/** A scene over the fake sidecar; its arguments and the server's flags are divided by spaces. */
function fake(name: string, sidecar: string, flags: string, play: Play): Scene {
  const given = flags.split(" ").filter((flag) => flag !== "");
  const options = { program: fakeSidecar(sidecar), flags: [...PATIENT, ...given] };
  return { name, start: () => BuiltServer.start(options), play };
}

function saving(format: string, sidecarCount: number): Scene {
  const flags = ["--save_to_disk", "true", "--img_format", format, "--sidecars", `${sidecarCount}`];
  const start = (folder: string) =>
    BuiltServer.start({
      program: fakeSidecar(),
      flags: [...PATIENT, ...flags, "--output_dir", path.join(folder, "pictures")],
    });
  return { name: `saving ${format}`, output: "pictures", start, play: whenReady(SAVED) };
}

const GATE = "--gate {folder}/gate";
const OPEN = "--breaker_failures 1 --breaker_pause 86400";
const FULL = "--queue_limit 2 --prefetch 0";

export const SCENES: readonly Scene[] = [
  fake("ready", "", "--log_level debug", whenReady(EVERYTHING)),
  saving("PNG", 1),
  saving("JPEG", 2),
  saving("WEBP", 1),
  fake(
    "loading",
    "--fault hang --at compiling",
    "",
    whenHealth((now) => now.sidecar.phase?.name === "compile"),
  ),
  fake(
    "failed for good",
    "--fault checkpoint-missing --at loading",
    "",
    whenHealth(({ state }) => state === "failed"),
  ),
  fake(
    "failed too often",
    "--fault exit-0 --at before-hello",
    OPEN,
    whenHealth((now) => now.sidecar.breaker.state === "open"),
  ),
  fake("full queue", GATE, FULL, whileHeld(4, refuse)),
  { ...fake("stopping", GATE, "", whileHeld(2, stop)), isStopped: true },
  fake(
    "killed sidecar",
    GATE,
    "--backoff_base 0",
    inTurn(whileHeld(2, kill), whenReady([draw("next", 1), ...STATE])),
  ),
  fake(
    "poison",
    "--fault sigkill --at poison",
    "--backoff_base 0",
    inTurn(poison, whenReady([...STATE, METRICS])),
  ),
  fake(
    "failing task",
    "--refuse engine_error",
    "",
    inTurn(whenReady([draw("a", 2)]), whenReady(STATE)),
  ),
  fake("prompt refused by the model", "--refuse prompt_invalid", "", whenReady([draw("a", 2)])),
  fake("late answer", GATE, "--request_timeout 1", whenReady([draw("a", 1)])),
  {
    name: "Nano",
    hasPixels: false,
    start: (folder) => {
      const model = ["--model_version", "Nano", "--cache_dir", path.join(folder, "cache")];
      return BuiltServer.start({ flags: [...model, "--slots", "2", ...PATIENT] });
    },
    play: async (server, send) => {
      await whenReady(NANO)(server, send);
      const [alone] = await send(draw("a penguin", 1));
      const [first] = await send(draw("a penguin", 3));
      expect.soft(first, "the same seed").toBe(alone);
    },
  },
];
