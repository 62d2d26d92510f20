/** Notices that the caller has left. */
import type { Response } from "express";

/** A signal that aborts when the caller leaves before the answer is complete. */
export function abortOnDisconnect(response: Response): AbortSignal {
  const controller = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished) controller.abort();
  });
  return controller.signal;
}
