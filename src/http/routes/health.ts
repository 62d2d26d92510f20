/** `GET /`, `GET /health_check` (is the process there?) and `GET /ready` (would a request run?). */
import type { AppError } from "../../errors.js";
import type { HealthReport } from "../../health/report.js";
import { sendError } from "../errors.js";
import type { Route } from "../route.js";

export interface HealthOptions {
  readonly health: () => HealthReport;
  /** Why a request would not run now, or null when it would. */
  readonly readyRefusal: () => AppError | null;
}

export function createHealthRoutes({ health, readyRefusal }: HealthOptions): readonly Route[] {
  return [
    {
      method: "get",
      paths: ["/"],
      doc: "Says hello world.",
      handle: (_request, response) => {
        response.type("text/plain").send("hello world");
      },
    },
    {
      method: "get",
      paths: ["/health_check"],
      doc: "Reports the state of the server, its sidecars and its queue, with status 200 in every state.",
      handle: (_request, response) => {
        response.setHeader("cache-control", "no-store");
        response.json(health());
      },
    },
    {
      method: "get",
      paths: ["/ready"],
      doc: "Answers 200 when a request would run now, else 503 with the reason.",
      handle: (_request, response) => {
        response.setHeader("cache-control", "no-store");
        const problem = readyRefusal();
        if (problem === null) response.json({ ready: true });
        else sendError(response, problem);
      },
    },
  ];
}
