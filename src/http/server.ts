/** The listening socket, its limits, and how it closes. */
import { once } from "node:events";
import { createServer, STATUS_CODES, type RequestListener, type Server } from "node:http";
import type { Duplex } from "node:stream";
import { AppError, describeError, ERROR_CODES } from "../errors.js";
import { createErrorBody } from "./errors.js";

/** Limits for receiving a request; how long the answer takes is the queue's business. */
const HEADERS_TIMEOUT_MS = 20_000;
const REQUEST_TIMEOUT_MS = 60_000;
/** Longer than the minute that proxies keep connections, so that they close first. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;

export interface HttpServer {
  /** Starts to listen and returns the port. Rejects with an AppError `listen_failed`. */
  listen(port: number, host: string): Promise<number>;
  /** Takes no more connections, lets answers finish for at most `graceMs`, then cuts the rest. */
  close(graceMs: number): Promise<void>;
}

/** Creates the listening side of an Express application. */
export function createHttpServer(listener: RequestListener): HttpServer {
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    listener,
  );
  server.on("clientError", answerUnreadable);
  server.on("request", (_request, response) => {
    response.on("close", () => {
      // The connection becomes idle after this event, and closing must not wait for it.
      if (!server.listening) {
        setImmediate(() => {
          server.closeIdleConnections();
        });
      }
    });
  });
  return {
    listen: (port, host) => listen(server, port, host),
    close: async (graceMs) => {
      const timer = setTimeout(() => {
        server.closeAllConnections();
      }, graceMs);
      const closed = once(server, "close");
      server.close();
      await closed;
      clearTimeout(timer);
    },
  };
}

async function listen(server: Server, port: number, host: string): Promise<number> {
  try {
    const listening = once(server, "listening");
    server.listen(port, host);
    await listening;
  } catch (error) {
    throw new AppError("listen_failed", describeListenError(error, port, host), { cause: error });
  }
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}

function describeListenError(error: unknown, port: number, host: string): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "EADDRINUSE":
      return `Port ${port} on ${host} is already in use. Stop the program that uses it, or choose another port with --port.`;
    case "EACCES":
      return `Port ${port} needs more rights than this user has. Choose one above 1023 with --port.`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `${host} is not an address of this machine. Choose another one with --host.`;
    default:
      return `The server cannot listen on ${host}, port ${port}: ${describeError(error)}.`;
  }
}

/** Answers what Node could not read as HTTP in the same shape as every other error. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const refusal =
    error.code === "HPE_HEADER_OVERFLOW"
      ? new AppError("headers_too_large", "The headers of the request are too large.")
      : new AppError(
          "invalid_request",
          "The request is not valid HTTP, or was not received in time.",
        );
  const body = JSON.stringify(createErrorBody(refusal));
  const { status } = ERROR_CODES[refusal.code];
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}`,
    "content-type: application/json; charset=utf-8",
    "access-control-allow-origin: *",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}
