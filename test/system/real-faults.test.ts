import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { containing } from "../support/matchers.js";
import { isRunning } from "../support/processes.js";
import { ServerProcess, START_LIMIT_MS, type Health } from "../support/server-process.js";

/**
 * Cells of the fault matrix with the real sidecar and the embedded checkpoint: the faults are those that
 * nobody but the kernel or Python's lock can cause, so JAX and XLA are in them too.
 */

const LIMIT = { timeout: 2 * START_LIMIT_MS };
/** More images than slots: some are being made, some wait inside the sidecar. */
const REQUEST = { text: "a red circle on a blue background", num_images: 3, seed: 7 };
const FLAGS = [
  ...["--slots", "2", "--backoff_base", "0", "--breaker_failures", "1000"],
  // What is silent for three seconds is given up; five while it starts, for importing JAX holds the lock.
  ...["--beat_interval", "0.25", "--missed_beats", "12", "--start_missed_beats", "20"],
  ...["--kill_grace", "0.1"],
];
const answerSchema = z.object({ generatedImages: z.array(z.base64()) });

/** In the order of three spawns, each of which is hit at the next moment: no start is there for nothing. */
const MOMENTS = [
  { name: "generate", isReached: ({ queue }: Health) => queue.runningImages > 0 },
  { name: "load", isReached: ({ sidecar }: Health) => sidecar.phase?.name === "load" },
  { name: "compile", isReached: ({ sidecar }: Health) => sidecar.phase?.name === "compile" },
] as const;
type Moment = (typeof MOMENTS)[number];
const FAULTS = [
  { fault: "SIGKILL", code: "killed", reason: "was ended by SIGKILL while it was" },
  { fault: "SIGSTOP", code: "silent", reason: "gave no sign of life" },
  { fault: "gil-held", code: "silent", reason: "gave no sign of life" },
] as const;
type Fault = (typeof FAULTS)[number];

let cacheDir: string;
let server: ServerProcess;
let undisturbed: string[];

beforeAll(async () => {
  cacheDir = await mkdtemp(path.join(tmpdir(), "dalle-cache-"));
  server = await ServerProcess.startHauntedNano(cacheDir, ...FLAGS);
  await server.untilReady();
  undisturbed = await draw();
}, LIMIT.timeout);

afterAll(async () => {
  await server.dispose();
  await rm(cacheDir, { recursive: true });
});

async function draw(): Promise<string[]> {
  const response = await server.post(REQUEST);
  expect(response.status).toBe(200);
  return answerSchema.parse(await response.json()).generatedImages;
}

function untilReady(): Promise<Health> {
  return server.untilHealth(({ state }) => state === "ready", START_LIMIT_MS);
}

/** Does the fault to the sidecar that is held at this moment, while so many requests are open. */
async function strike({ isReached }: Moment, { fault, code, reason }: Fault, openJobs: number) {
  const isHit = (health: Health) => isReached(health) && health.queue.openJobs === openJobs;
  const held = await server.untilHealth(isHit);
  const pid = held.sidecar.pid ?? 0;
  const count = ({ sidecar }: Health) => sidecar.failures[code] ?? 0;
  if (fault === "gil-held") await server.order(pid, fault);
  else process.kill(pid, fault);
  const noticed = await server.untilHealth((health) => count(health) > count(held));
  expect(noticed.sidecar.lastFailure).toMatchObject({ code, reason: containing(reason) });
  return pid;
}

test.each(FAULTS)(
  "$fault while one generates, the next loads and the one after compiles costs no picture",
  LIMIT,
  async (fault) => {
    const before = await untilReady();
    const holds = await Promise.all(MOMENTS.map(({ name }) => server.hold(name)));
    const answers: Promise<string[]>[] = [];
    const pids: number[] = [];
    for (const [index, moment] of MOMENTS.entries()) {
      answers.push(draw());
      await holds[index]?.untilHeld();
      pids.push(await strike(moment, fault, answers.length));
    }

    expect(await Promise.all(answers)).toEqual(MOMENTS.map(() => undisturbed));
    const after = await untilReady();
    expect(after.sidecar.generation).toBe(before.sidecar.generation + MOMENTS.length);
    expect(pids.filter(isRunning)).toEqual([]);
    expect(after.queue).toMatchObject({
      openJobs: 0,
      completedJobs: before.queue.completedJobs + MOMENTS.length,
      finishedImages: before.queue.finishedImages + MOMENTS.length * REQUEST.num_images,
    });
    expect(after.queue.retriedImages).toBeGreaterThan(before.queue.retriedImages);
  },
);
