/** The HTTP surface: the list of its routes, and what every request goes through. */
import cors from "cors";
import express, { type Express, type RequestHandler } from "express";
import type { Logger } from "../log.js";
import { createErrorHandler, refuseUnknownPath } from "./errors.js";
import { logRequests } from "./request-log.js";
import { mountRoutes, type Route } from "./route.js";
import { createDalleRoute, type DalleOptions } from "./routes/dalle.js";
import { createHealthRoutes, type HealthOptions } from "./routes/health.js";
import { createMetricsRoute, measureRequests, type MetricsOptions } from "./routes/metrics.js";
import { createModelRoutes } from "./routes/models.js";
import { createOpenAiRoute, type OpenAiOptions } from "./routes/openai.js";

interface RouteOptions extends DalleOptions, OpenAiOptions, HealthOptions, MetricsOptions {}

/** Every route that the server has. */
export function createRoutes(options: RouteOptions): readonly Route[] {
  return [
    ...createHealthRoutes(options),
    createMetricsRoute(options),
    createDalleRoute(options),
    createOpenAiRoute(options),
    ...createModelRoutes(options.models),
  ];
}

/** It knows requests and answers, and sees the rest through its options. */
export function createApp(options: RouteOptions & { readonly log: Logger }): Express {
  const app = express();
  app.disable("x-powered-by");
  // Images differ on every call: a hash over megabytes of them would never find one in a cache.
  app.disable("etag");
  app.use(logRequests(options.log));
  app.use(measureRequests(options.meter));
  // Any page may call, and may read errors too; every OPTIONS request is answered here.
  app.use(cors({ exposedHeaders: ["x-request-id", "retry-after"], maxAge: 86_400 }));
  app.use(collapseSlashes);
  mountRoutes(app, createRoutes(options));
  app.use(refuseUnknownPath);
  app.use(createErrorHandler(options.log));
  return app;
}

/** A base address that ends in a slash makes clients ask for `//dalle`. */
const collapseSlashes: RequestHandler = (request, _response, next) => {
  const [path = "", ...query] = request.url.split("?");
  if (path.startsWith("/")) request.url = [path.replace(/\/{2,}/g, "/"), ...query].join("?");
  next();
};
