/** `GET /metrics`, and what is measured of each request. */
import type { Request, RequestHandler } from "express";
import { z } from "zod";
import type { Metrics } from "../../health/metrics.js";
import type { HealthReport } from "../../health/report.js";
import type { Route } from "../route.js";

/** What proxies write for a caller who left before the answer. */
const CALLER_LEFT = 499;
/** The route of what no route takes: unknown paths, preflights. */
const NO_ROUTE = "none";

/** What takes the measurements of the HTTP surface, and makes the page. */
type RequestMeter = Pick<Metrics, "contentType" | "observeRequest" | "render">;

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

export function createMetricsRoute({ health, meter }: MetricsOptions): Route {
  return {
    method: "get",
    paths: ["/metrics"],
    doc: "Gives what /health_check reports, and measured times, as text for Prometheus.",
    handle: async (_request, response) => {
      const page = await meter.render(health());
      response.setHeader("cache-control", "no-store");
      response.setHeader("content-type", meter.contentType);
      response.send(page);
    },
  };
}

const mountedSchema = z.object({ path: z.tuple([z.string()], z.string()) });

/** The documented path of the route that took the request: there are few, whatever is asked for. */
function readRoute(request: Request): string {
  const route = mountedSchema.safeParse(request.route);
  return route.success ? route.data.path[0] : NO_ROUTE;
}
