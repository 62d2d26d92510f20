/**
 * Cells of the fault matrix with the built server, the real sidecar and the embedded checkpoint: the faults that
 * only the kernel or Python's lock can cause, so that JAX and XLA are in them too.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { BuiltServer, type Health } from "../harness/built-server.mjs";
import { fakeSidecar } from "../harness/sidecar-program.mjs";
import { START_LIMIT_MS } from "../harness/until.mjs";
import { containing } from "../support/matchers.js";
import { expectGone } from "../support/processes.js";

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
  { name: "generating", isReached: ({ queue }: Health) => queue.runningImages > 0 },
  { name: "loading", isReached: ({ sidecar }: Health) => sidecar.phase?.name === "load" },
  { name: "compiling", isReached: ({ sidecar }: Health) => sidecar.phase?.name === "compile" },
] as const;
type Moment = (typeof MOMENTS)[number];
const FAULTS = [
  { fault: "SIGKILL", code: "killed", reason: "was ended by SIGKILL while it was" },
  { fault: "SIGSTOP", code: "silent", reason: "gave no sign of life" },
  { fault: "gil-held", code: "silent", reason: "gave no sign of life" },
] as const;
type Fault = (typeof FAULTS)[number];

let cacheDir: string;
let server: BuiltServer;
let undisturbed: string[];

beforeAll(async () => {
  cacheDir = await mkdtemp(path.join(tmpdir(), "dalle-cache-"));
  const flags = ["--model_version", "Nano", "--cache_dir", cacheDir, ...FLAGS];
  server = await BuiltServer.start({ program: fakeSidecar("--real"), flags });
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

/** Does the fault to the sidecar that is held at this moment, once `openJobs` requests are open. */
async function strike({ isReached }: Moment, { fault, code, reason }: Fault, openJobs: number) {
  const isHit = (health: Health) => isReached(health) && health.queue.openJobs === openJobs;
  const held = await server.untilHealth(isHit);
  const pid = held.sidecar.pid ?? 0;
  const count = ({ sidecar }: Health) => sidecar.failures[code] ?? 0;
  if (fault === "gil-held") await server.orders.give(pid, fault).untilObeyed();
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
    const holds = MOMENTS.map(({ name }) => server.orders.giveAt(name, "hang"));
    const answers: Promise<string[]>[] = [];
    const pids: number[] = [];
    for (const [index, moment] of MOMENTS.entries()) {
      answers.push(draw());
      await holds[index]?.untilObeyed();
      pids.push(await strike(moment, fault, answers.length));
    }

    expect(await Promise.all(answers)).toEqual(MOMENTS.map(() => undisturbed));
    const after = await untilReady();
    expect(after.sidecar.generation).toBe(before.sidecar.generation + MOMENTS.length);
    await expectGone(...pids);
    expect(after.queue).toMatchObject({
      openJobs: 0,
      completedJobs: before.queue.completedJobs + MOMENTS.length,
      finishedImages: before.queue.finishedImages + MOMENTS.length * REQUEST.num_images,
    });
    expect(after.queue.retriedImages).toBeGreaterThan(before.queue.retriedImages);
  },
);
