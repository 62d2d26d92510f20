import { Router, type Request, type RequestHandler } from "express";
import { z } from "zod";
import type { HealthReport } from "../../health/report.js";
import { refuseMethods } from "../errors.js";

/** What proxies write for a caller who left before the answer. */
const CALLER_LEFT = 499;
/** The route of what no route takes: unknown paths, preflights. */
const NO_ROUTE = "none";

/** Where the HTTP surface tells what it measures, and gets the page from. */
export interface RequestMeter {
  readonly contentType: string;
  observeRequest(route: string, status: number, seconds: number): void;
  render(health: HealthReport): Promise<string>;
}

export interface MetricsOptions {
  readonly health: () => HealthReport;
  readonly meter: RequestMeter;
}

/** Measures each request: which route, which status, how long. */
export function measureRequests(meter: RequestMeter): RequestHandler {
  return (request, response, next) => {
    const startedMs = performance.now();
    response.on("close", () => {
      const status = response.writableFinished ? response.statusCode : CALLER_LEFT;
      meter.observeRequest(readRoute(request), status, (performance.now() - startedMs) / 1000);
    });
    next();
  };
}

/** `GET /metrics`: the same truth as `/health_check`, as text for Prometheus. */
export function createMetricsRouter({ health, meter }: MetricsOptions): Router {
  const router = Router();
  router
    .route("/metrics")
    .get(async (_request, response) => {
      const page = await meter.render(health());
      response.setHeader("cache-control", "no-store");
      response.setHeader("content-type", meter.contentType);
      response.send(page);
    })
    .all(refuseMethods(["GET", "HEAD"]));
  return router;
}

const routeSchema = z.object({ path: z.union([z.string(), z.tuple([z.string()], z.string())]) });

/** The pattern of the route that took the request: there are few, whatever people ask for. */
function readRoute(request: Request): string {
  const route = routeSchema.safeParse(request.route);
  if (!route.success) return NO_ROUTE;
  const { path } = route.data;
  return typeof path === "string" ? path : path[0];
}
