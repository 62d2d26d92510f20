import { Router } from "express";
import type { AppError } from "../../errors.js";
import type { HealthReport } from "../../health/report.js";
import { refuseMethods, sendError } from "../errors.js";

export interface HealthOptions {
  readonly health: () => HealthReport;
  /** Why a request would not run now, or null when it would. */
  readonly unreadiness: () => AppError | null;
}

/** `GET /`, `GET /health_check` (is the process there?) and `GET /ready` (would a request run?). */
export function createHealthRouter({ health, unreadiness }: HealthOptions): Router {
  const router = Router();
  router
    .route("/")
    .get((_request, response) => {
      response.type("text/plain").send("hello world");
    })
    .all(refuseMethods(["GET", "HEAD"]));
  router
    .route("/health_check")
    .get((_request, response) => {
      response.setHeader("cache-control", "no-store");
      response.json(health());
    })
    .all(refuseMethods(["GET", "HEAD"]));
  router
    .route("/ready")
    .get((_request, response) => {
      response.setHeader("cache-control", "no-store");
      const problem = unreadiness();
      if (problem === null) response.json({ ready: true });
      else sendError(response, problem);
    })
    .all(refuseMethods(["GET", "HEAD"]));
  return router;
}
