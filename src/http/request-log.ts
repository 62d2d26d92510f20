/** One log line a request. */
import { randomUUID } from "node:crypto";
import type { RequestHandler, Response } from "express";
import { neutralizeText, type Logger } from "../log.js";

/** Asked every few seconds by whatever watches the server: no line each, unless for debugging. */
const PROBES: ReadonlySet<string> = new Set(["/health_check", "/ready", "/metrics"]);

/** Gives each request an id (also in the answer, as `x-request-id`) and one line in the log. */
export function logRequests(log: Logger): RequestHandler {
  return (request, response, next) => {
    const startedMs = performance.now();
    const requestId = `req_${randomUUID().replaceAll("-", "")}`;
    response.setHeader("x-request-id", requestId);
    response.on("close", () => {
      const status = response.writableFinished ? response.statusCode : null;
      const entry = {
        requestId,
        method: request.method,
        path: neutralizeText(request.originalUrl.split("?", 1)[0] ?? "", 200),
        status,
        ms: Math.round(performance.now() - startedMs),
        // The official client libraries repeat requests by themselves; this shows it.
        retry: request.headers["x-stainless-retry-count"],
        ...response.locals,
      };
      const level = PROBES.has(request.path) ? "debug" : (status ?? 0) >= 500 ? "warn" : "info";
      log[level](entry, status === null ? "The caller left" : "Request answered");
    });
    next();
  };
}

/** Adds facts to the line that the log gets about this request. */
export function noteForLog(response: Response, facts: Readonly<Record<string, string>>): void {
  Object.assign(response.locals, facts);
}
