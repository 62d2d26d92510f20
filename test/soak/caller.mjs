/** One request of a soak: sends it, perhaps goes away, and judges the answer. */
import { request } from "node:http";
import { text } from "node:stream/consumers";
import sharp from "sharp";
import { IMAGE_SIDE } from "./server.mjs";

/** Far longer than the server may take with everything that goes wrong. */
const ANSWER_LIMIT_MS = 120_000;
/** What a request may be answered with when something went wrong through no fault of its own. */
const FAIR_CODES = ["queue_full", "not_ready", "shutting_down", "sidecar_crashed"];
/** Lossy formats change a colour a little. */
const COLOUR_TOLERANCE = { png: 0, jpeg: 6, webp: 10 };

/**
 * @typedef {import("./schedule.mjs").PlannedRequest} PlannedRequest
 *
 * @typedef {object} Outcome
 * @property {"answered" | "left" | "broken"} kind
 * @property {string} code `ok`, the code of the error, or what broke
 * @property {string | null} requestId
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
    if (answer === null) return { ...NOTHING, kind: "left", code: "left" };
    const judged = await judge(planned, answer, isColoured);
    return { ...NOTHING, kind: "answered", ...judged, requestId: answer.requestId };
  } catch (error) {
    const code = error instanceof Error ? error.message : String(error);
    return { ...NOTHING, kind: "broken", code, problems: [`${planned.prompt}: ${code}`] };
  }
}

const NOTHING = /** @type {const} */ ({ requestId: null, images: 0, problems: [] });

/** @typedef {{ status: number, body: string, requestId: string, retryAfter: string | undefined }} Answer */

/**
 * @param {string} url
 * @param {PlannedRequest} planned
 * @returns {Promise<Answer | null>} null: the caller has left
 */
function send(url, planned) {
  return new Promise((resolve, reject) => {
    const { path, body } = describe(planned);
    const outgoing = request(`${url}${path}`, { method: "POST", agent: false }, (response) => {
      const { headers, statusCode = 0 } = response;
      const finish = (/** @type {string} */ content) => {
        const requestId = String(headers["x-request-id"]);
        const retryAfter = headers["retry-after"];
        resolve({ status: statusCode, body: content, requestId, retryAfter });
      };
      text(response).then(finish, hasLeft ? () => undefined : reject);
    });
    let hasLeft = false;
    const leaveTimer = setTimeout(
      () => {
        hasLeft = true;
        outgoing.destroy();
        resolve(null);
      },
      planned.leaveAfterMs ?? 2 ** 31 - 1,
    );
    const answerTimer = setTimeout(() => {
      reject(new Error(`no answer within ${ANSWER_LIMIT_MS} ms`));
      outgoing.destroy();
    }, ANSWER_LIMIT_MS);
    outgoing.on("close", () => {
      clearTimeout(leaveTimer);
      clearTimeout(answerTimer);
    });
    outgoing.on("error", (error) => {
      if (!hasLeft) reject(error);
    });
    outgoing.end(body);
  });
}

/** @param {PlannedRequest} planned */
function describe({ kind, prompt, imageCount, seed, format }) {
  if (kind === "wrong")
    return { path: "/dalle", body: JSON.stringify({ text: prompt, seed: "x" }) };
  if (kind === "dalle") {
    return { path: "/dalle", body: JSON.stringify({ text: prompt, num_images: imageCount, seed }) };
  }
  const fields = { prompt, n: imageCount, seed, output_format: format };
  return { path: "/v1/images/generations", body: JSON.stringify(fields) };
}

/**
 * @typedef {object} Body of any answer
 * @property {{ code: string, message: string }} [error]
 * @property {readonly string[]} [generatedImages]
 * @property {readonly number[]} [seeds]
 * @property {readonly { b64_json: string, seed: number }[]} [data]
 *
 * @param {PlannedRequest} planned
 * @param {Answer} answer
 * @param {boolean} isColoured
 * @returns {Promise<Pick<Outcome, "code" | "images" | "problems">>}
 */
async function judge(planned, { status, body, retryAfter }, isColoured) {
  /** @type {unknown} */
  const parsed = JSON.parse(body);
  const answer = /** @type {Body} */ (parsed);
  if (status !== 200) {
    const code = answer.error?.code ?? "untyped";
    const isFair = planned.kind === "wrong" ? code === "invalid_value" : FAIR_CODES.includes(code);
    const waitS = Number(retryAfter);
    const isHonest = !["queue_full", "not_ready"].includes(code) || (waitS >= 1 && waitS <= 60);
    return {
      code,
      images: 0,
      problems: [
        ...(isFair ? [] : [`${planned.prompt}: status ${status}, ${body.slice(0, 300)}`]),
        ...(isHonest ? [] : [`${planned.prompt}: Retry-After is ${String(retryAfter)}`]),
      ],
    };
  }
  const images =
    answer.data ??
    (answer.generatedImages ?? []).map((b64_json, index) => ({
      b64_json,
      seed: answer.seeds?.[index] ?? Number.NaN,
    }));
  const problems = [];
  if (planned.kind === "wrong" || images.length !== planned.imageCount) {
    problems.push(`asked for ${planned.imageCount} images, got ${images.length}`);
  }
  for (const [index, { b64_json, seed }] of images.entries()) {
    if (planned.seed !== null && seed !== planned.seed + index) {
      problems.push(`image ${index} has seed ${seed} instead of ${planned.seed} + ${index}`);
    }
    const bytes = Buffer.from(b64_json, "base64");
    const flaw = await findFlaw(bytes, planned.format, isColoured ? seed : null);
    if (flaw !== null) problems.push(`image ${index}: ${flaw}`);
  }
  const named = problems.map((problem) => `${planned.prompt}: ${problem}`);
  return { code: "ok", images: images.length, problems: named };
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
