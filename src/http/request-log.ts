import { randomUUID } from "node:crypto";
import type { RequestHandler } from "express";
import { neutralizeText, type Logger } from "../log.js";

/** Asked every few seconds by whatever watches the server; not worth a line each. */
const PROBES: ReadonlySet<string> = new Set(["/health_check", "/ready", "/metrics"]);

/** Gives each request an id (also in the answer, as `x-request-id`) and one line in the log. */
export function logRequests(log: Logger): RequestHandler {
  return (request, response, next) => {
    const startedMs = performance.now();
    const requestId = `req_${randomUUID().replaceAll("-", "")}`;
    response.setHeader("x-request-id", requestId);
    response.on("close", () => {
      const entry = {
        requestId,
        method: request.method,
        path: neutralizeText(request.originalUrl.split("?", 1)[0] ?? "", 200),
        status: response.writableFinished ? response.statusCode : null,
        ms: Math.round(performance.now() - startedMs),
        // The official client libraries repeat requests by themselves; this shows it.
        retry: request.headers["x-stainless-retry-count"],
      };
      const message = response.writableFinished ? "Request answered" : "The caller left";
      if (PROBES.has(request.path)) log.debug(entry, message);
      else log.info(entry, message);
    });
    next();
  };
}
