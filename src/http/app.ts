import cors from "cors";
import express, { type Express, type RequestHandler } from "express";
import type { Logger } from "../log.js";
import { createDalleRouter, type DalleOptions } from "./routes/dalle.js";
import { createErrorHandler, refuseUnknownPath } from "./errors.js";
import { createHealthRouter, type HealthOptions } from "./routes/health.js";
import { createMetricsRouter, measureRequests, type MetricsOptions } from "./routes/metrics.js";
import { createModelsRouter } from "./routes/models.js";
import { createOpenAiRouter, type OpenAiOptions } from "./routes/openai.js";
import { logRequests } from "./request-log.js";

export interface AppOptions extends DalleOptions, OpenAiOptions, HealthOptions, MetricsOptions {
  readonly log: Logger;
}

/** The HTTP surface. It knows requests and answers, and sees the rest through its options. */
export function createApp(options: AppOptions): Express {
  const app = express();
  app.disable("x-powered-by");
  // Pictures differ on every call: hashing megabytes of them for a cache helps nobody.
  app.disable("etag");
  app.use(logRequests(options.log));
  app.use(measureRequests(options.meter));
  // Any page may call, and may read errors too; every OPTIONS request is answered here.
  app.use(cors({ exposedHeaders: ["x-request-id", "retry-after"], maxAge: 86_400 }));
  app.use(collapseSlashes);
  app.use(createHealthRouter(options));
  app.use(createMetricsRouter(options));
  app.use(createDalleRouter(options));
  app.use(createOpenAiRouter(options));
  app.use(createModelsRouter(options.models));
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
