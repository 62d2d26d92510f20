/** What can go wrong with the socket between server and sidecars. */
type TransportErrorCode =
  "path_too_long" | "curve_missing" | "bind_failed" | "peer_unreachable" | "peer_busy" | "closed";

export class TransportError extends Error {
  override readonly name = "TransportError";

  constructor(
    readonly code: TransportErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
