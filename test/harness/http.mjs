/** One request over HTTP as soak and benches send it: without what `fetch` adds in time and connections. */
import { request } from "node:http";
import { text as readText } from "node:stream/consumers";

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {import("node:http").IncomingHttpHeaders} headers
 * @property {string} body
 */

/**
 * Sends a request on a connection of its own, unless `agent` says otherwise: one that stays open would count as a
 * descriptor of the server.
 *
 * @param {string} url
 * @param {import("node:http").RequestOptions & { body?: string }} [options]
 * @returns {Promise<Answer>}
 */
export function exchange(url, { body, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const sending = request(url, { agent: false, ...options }, (response) => {
      const { statusCode: status = 0, headers } = response;
      readText(response).then((text) => {
        resolve({ status, headers, body: text });
      }, reject);
    });
    sending.on("error", reject).end(body);
  });
}
