/** One request of a soak: sends it, perhaps goes away, and judges the answer. */
import sharp from "sharp";
import { z } from "zod";
import { exchange } from "../harness/http.mjs";
import { IMAGE_SIDE } from "./server.mjs";

/** Far longer than the server may take with everything that goes wrong. */
const ANSWER_LIMIT_MS = 120_000;
/** What a request may be answered with when something went wrong through no fault of its own. */
const FAIR_CODES = ["queue_full", "not_ready", "shutting_down", "sidecar_crashed"];
/** Those of them that say when to come again. */
const LATER_CODES = ["queue_full", "not_ready"];
/** The body of any answer. */
const bodySchema = z.looseObject({
  error: z.looseObject({ code: z.string() }).optional(),
  generatedImages: z.array(z.string()).optional(),
  seeds: z.array(z.int()).optional(),
  data: z.array(z.looseObject({ b64_json: z.string(), seed: z.int() })).optional(),
});
/** Lossy formats change a colour a little. */
const COLOUR_TOLERANCE = { png: 0, jpeg: 6, webp: 10 };

/**
 * @typedef {import("./schedule.mjs").PlannedRequest} PlannedRequest
 * @typedef {import("../harness/http.mjs").Answer} Answer
 *
 * @typedef {object} Outcome
 * @property {string} code `ok`, the code of the error, `left`, or what broke
 * @property {string | null} requestId null: the caller left, or it was not answered
 * @property {number} images that came
 * @property {readonly string[]} problems with it: breaches of what the server promises
 */

/**
 * @param {string} url
 * @param {PlannedRequest} planned
 * @param {boolean} isColoured whether the colour of an image follows from its seed, as the fake sidecar has it
 * @returns {Promise<Outcome>}
 */
export async function call(url, planned, isColoured) {
  try {
    const answer = await send(url, planned);
    if (answer === null) return { code: "left", requestId: null, images: 0, problems: [] };
    const requestId = String(answer.headers["x-request-id"]);
    const { code, images, problems } = await judge(planned, answer, isColoured);
    const named = problems.map((problem) => `${planned.prompt}: ${problem}`);
    return { code, requestId, images, problems: named };
  } catch (error) {
    const code = error instanceof Error ? error.message : String(error);
    return { code, requestId: null, images: 0, problems: [`${planned.prompt}: ${code}`] };
  }
}

/**
 * @param {string} url
 * @param {PlannedRequest} planned
 * @returns {Promise<Answer | null>} null: the caller has left
 */
async function send(url, planned) {
  const { path, fields } = describe(planned);
  const limit = AbortSignal.timeout(ANSWER_LIMIT_MS);
  const leave = AbortSignal.timeout(Math.round(planned.leaveAfterMs ?? 2 * ANSWER_LIMIT_MS));
  const signal = AbortSignal.any([limit, leave]);
  try {
    return await exchange(url + path, { method: "POST", signal, body: JSON.stringify(fields) });
  } catch (error) {
    if (limit.aborted) throw new Error(`no answer within ${ANSWER_LIMIT_MS} ms`, { cause: error });
    if (leave.aborted) return null;
    throw error;
  }
}

/** @param {PlannedRequest} planned */
function describe({ kind, prompt, imageCount, seed, format }) {
  if (kind === "v1") {
    const fields = { prompt, n: imageCount, seed, output_format: format };
    return { path: "/v1/images/generations", fields };
  }
  const fields = { text: prompt, num_images: imageCount, seed: kind === "wrong" ? "x" : seed };
  return { path: "/dalle", fields };
}

/**
 * @param {PlannedRequest} planned
 * @param {Answer} answer
 * @param {boolean} isColoured
 * @returns {Promise<Pick<Outcome, "code" | "images" | "problems">>}
 */
async function judge(planned, { status, headers, body }, isColoured) {
  const { error, data, generatedImages = [], seeds = [] } = bodySchema.parse(JSON.parse(body));
  const problems = [];
  if (status !== 200) {
    const code = error?.code ?? "untyped";
    const isFair = planned.kind === "wrong" ? code === "invalid_value" : FAIR_CODES.includes(code);
    if (!isFair) problems.push(`status ${status}, ${body.slice(0, 300)}`);
    const waitS = Number(headers["retry-after"]);
    if (LATER_CODES.includes(code) && !(waitS >= 1 && waitS <= 60)) {
      problems.push(`Retry-After is ${String(headers["retry-after"])}`);
    }
    return { code, images: 0, problems };
  }
  const dalle = generatedImages.map((b64_json, index) => ({ b64_json, seed: seeds[index] }));
  const images = data ?? dalle;
  if (planned.kind === "wrong" || images.length !== planned.imageCount) {
    problems.push(`asked for ${planned.imageCount} images, got ${images.length}`);
  }
  for (const [index, { b64_json, seed = Number.NaN }] of images.entries()) {
    if (planned.seed !== null && seed !== planned.seed + index) {
      problems.push(`image ${index} has seed ${seed} instead of ${planned.seed} + ${index}`);
    }
    const bytes = Buffer.from(b64_json, "base64");
    const flaw = await findFlaw(bytes, planned.format, isColoured ? seed : null);
    if (flaw !== null) problems.push(`image ${index}: ${flaw}`);
  }
  return { code: "ok", images: images.length, problems };
}

/**
 * @param {Buffer} bytes
 * @param {PlannedRequest["format"]} format
 * @param {number | null} seed null: any colours will do
 * @returns {Promise<string | null>}
 */
export async function findFlaw(bytes, format, seed) {
  const source = sharp(bytes);
  const metadata = await source.metadata();
  if (metadata.format !== format) return `it is ${metadata.format} instead of ${format}`;
  const pixels = await source.removeAlpha().raw().toBuffer();
  if (seed === null) return null;
  if (pixels.length !== IMAGE_SIDE ** 2 * 3) return `it has ${pixels.length} bytes of pixels`;
  const wanted = [(seed >> 16) & 255, (seed >> 8) & 255, seed & 255];
  const isRight = pixels.every(
    (value, at) => Math.abs(value - (wanted[at % 3] ?? 0)) <= COLOUR_TOLERANCE[format],
  );
  return isRight ? null : `it does not have the colour of seed ${seed}`;
}
