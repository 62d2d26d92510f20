/** Measures requests over HTTP, and sums up what was measured. */
import { Agent } from "node:http";
import { z } from "zod";
import { exchange } from "../test/harness/http.mjs";

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
  const request = JSON.stringify({ text: "a red circle", num_images: imageCount, seed });
  const { body } = await exchange(`${url}/dalle`, { method: "POST", agent, body: request });
  const { generatedImages } = answerSchema.parse(JSON.parse(body));
  if (generatedImages.length !== imageCount) {
    throw new Error(`asked for ${imageCount} images, got ${body.slice(0, 200)}`);
  }
  return performance.now() - started;
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

/**
 * Prints a Markdown table, with all but its first column to the right.
 *
 * @param {readonly [readonly string[], ...(readonly string[])[]]} rows the first is the head
 */
export function printTable([head, ...rows]) {
  const rule = head.map((_, column) => (column === 0 ? "---" : "---:"));
  for (const row of [head, rule, ...rows]) process.stdout.write(`| ${row.join(" | ")} |\n`);
  process.stdout.write("\n");
}
