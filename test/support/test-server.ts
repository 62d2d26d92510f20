/** The server behind a real socket over a fake runner: what the program wires, without a sidecar. */
import { EventEmitter, once } from "node:events";
import { onTestFinished } from "vitest";
import { z } from "zod";
import { AppError } from "../../src/errors.js";
import type { ImageStore } from "../../src/images/store.js";
import { createLogger } from "../../src/log.js";
import { createService, type ServiceSettings } from "../../src/service.js";
import { DEFAULT_SERVICE } from "./defaults.js";
import { FakeRunner } from "./fake-runner.js";
import { FakeSidecar } from "./fake-sidecar-view.js";

export interface TestServerOptions extends Partial<ServiceSettings> {
  readonly runner?: FakeRunner;
  readonly sidecar?: FakeSidecar;
  readonly store?: ImageStore;
}

const logLineSchema = z.record(z.string(), z.unknown());
type LogLine = Readonly<z.output<typeof logLineSchema>>;

export type TestServer = Awaited<ReturnType<typeof startTestServer>>;

/** Starts it, and closes it after the test. */
export async function startTestServer(options: TestServerOptions = {}) {
  const {
    runner = new FakeRunner(),
    sidecar = new FakeSidecar("ready"),
    store = null,
    ...settings
  } = options;
  /** Parsed, all so far. */
  const logLines: LogLine[] = [];
  const logEvents = new EventEmitter();
  const log = createLogger("debug", {
    write: (text) => {
      logLines.push(logLineSchema.parse(JSON.parse(text)));
      logEvents.emit("line");
    },
  });
  /** Waits for a log line that has these keys with these values, and returns it. */
  const untilLogged = async (wanted: LogLine) => {
    const isWanted = (line: LogLine) =>
      Object.entries(wanted).every(([key, value]) => line[key] === value);
    for (;;) {
      const line = logLines.find(isWanted);
      if (line !== undefined) return line;
      await once(logEvents, "line");
    }
  };
  const { server, admission, queue } = createService({
    settings: { ...DEFAULT_SERVICE, ...settings },
    runner,
    sidecars: sidecar,
    store,
    log,
    droppedLogLines: () => 0,
  });
  const port = await server.listen(0, "127.0.0.1");
  const url = `http://127.0.0.1:${port}`;
  const post = (body: object, init: RequestInit = {}) =>
    fetch(`${url}/dalle`, { method: "POST", body: JSON.stringify(body), ...init });
  const close = async () => {
    queue.failAll(new AppError("shutting_down", "The test is over."));
    await server.close(0);
  };
  onTestFinished(close);
  return { url, port, runner, sidecar, admission, queue, logLines, untilLogged, post, close };
}
