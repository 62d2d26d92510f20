/** Measures requests over HTTP, and sums up what was measured. */
import { Agent, request } from "node:http";
import { text } from "node:stream/consumers";
import { z } from "zod";

const agent = new Agent({ keepAlive: true });
const answerSchema = z.object({ generatedImages: z.array(z.string()) });

/**
 * Posts one sentence and returns the time until its answer is read.
 *
 * @param {string} url of the server
 * @param {number} imageCount
 * @param {number} seed
 * @returns {Promise<number>} milliseconds
 */
export async function timeRequest(url, imageCount, seed) {
  const started = performance.now();
  const body = JSON.stringify({ text: "a red circle", num_images: imageCount, seed });
  const answer = await post(`${url}/dalle`, body);
  const { generatedImages } = answerSchema.parse(JSON.parse(answer));
  if (generatedImages.length !== imageCount) {
    throw new Error(`asked for ${imageCount} images, got ${answer.slice(0, 200)}`);
  }
  return performance.now() - started;
}

/**
 * Plain node:http, because `fetch` itself takes a noticeable part of the time that is measured here.
 *
 * @param {string} url
 * @param {string} body
 * @returns {Promise<string>}
 */
function post(url, body) {
  return new Promise((resolve, reject) => {
    const headers = { "content-length": Buffer.byteLength(body) };
    const call = request(url, { agent, method: "POST", headers }, (response) => {
      text(response).then(resolve, reject);
    });
    call.on("error", reject);
    call.end(body);
  });
}

/**
 * @param {readonly number[]} values
 * @param {number} share 0.5 for the median
 * @returns {number}
 */
export function quantile(values, share) {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
