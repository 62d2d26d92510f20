/** Routes as values: what is mounted, what each path refuses, and what documents say of it, from one list. */
import type { IRouter, Request, RequestHandler, Response } from "express";
import type { z } from "zod";
import { AppError } from "../errors.js";
import { readBody } from "./body.js";
import type { SamplingLimits } from "../jobs/broker.js";

export interface Route {
  readonly method: keyof typeof METHODS;
  /** Every way to write its path; the first one is documented and names it in the metrics. */
  readonly paths: readonly [string, ...string[]];
  /** What it does, in one sentence. */
  readonly doc: string;
  /** The JSON body, in the limits of the loaded model (null: not known yet); absent without a body. */
  readonly bodySchema?: (limits: SamplingLimits | null) => z.ZodType;
  readonly handle: (request: Request, response: Response) => void | Promise<void>;
}

/** What a path with a route of this method answers; OPTIONS is answered for all of them. */
const METHODS = { get: ["GET", "HEAD"], post: ["POST"] } as const;

export function mountRoutes(router: IRouter, routes: readonly Route[]): void {
  for (const { method, paths, bodySchema, handle } of routes) {
    const readers = bodySchema === undefined ? [] : [readBody];
    router.route([...paths])[method](...readers, handle);
  }
  for (const { paths } of routes) {
    const ofPath = routes.filter((route) => route.paths[0] === paths[0]);
    router.all([...paths], refuseMethods(ofPath.flatMap(({ method }) => METHODS[method])));
  }
}

/** Refuses the methods that a path does not have, and names those that it has. */
function refuseMethods(allowed: readonly string[]): RequestHandler {
  const list = [...allowed, "OPTIONS"].join(", ");
  return (request, response) => {
    response.setHeader("allow", list);
    const message = `${request.method} is not possible on this path; expected one of ${list}.`;
    throw new AppError("method_not_allowed", message);
  };
}
