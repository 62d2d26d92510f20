/** Asks a server how it is: the part of /health_check that tests, soak and benches read. */
import { z } from "zod";
import { exchange } from "./http.mjs";

const sidecarSchema = z.looseObject({
  state: z.string(),
  pid: z.int().nullable(),
  generation: z.int(),
  running: z.int(),
  nextTryAt: z.string().nullable(),
  device: z.string().nullable(),
  imageSize: z.string().nullable(),
  breaker: z.looseObject({ state: z.string() }),
  phase: z.looseObject({ name: z.string(), done: z.number() }).nullable(),
  lastFailure: z.looseObject({ code: z.string(), reason: z.string() }).nullable(),
  failures: z.record(z.string(), z.int()),
});

const healthSchema = z.looseObject({
  state: z.string(),
  ready: z.boolean(),
  reason: z.string().nullable(),
  model: z.string(),
  sidecar: sidecarSchema,
  sidecars: z.array(sidecarSchema),
  queue: z.looseObject({
    openJobs: z.int(),
    completedJobs: z.int(),
    runningImages: z.int(),
    finishedImages: z.int(),
    retriedImages: z.int(),
  }),
  saving: z.looseObject({ savedCount: z.int(), failedCount: z.int() }).nullable(),
});

/** @typedef {z.output<typeof healthSchema>} Health */

/**
 * @param {string} url of the server
 * @returns {Promise<Health>}
 */
export async function readHealth(url) {
  return healthSchema.parse(JSON.parse((await exchange(`${url}/health_check`)).body));
}
