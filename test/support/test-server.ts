/** The server behind a real socket over a fake runner: what the program wires, without a sidecar. */
import { EventEmitter, once } from "node:events";
import { z } from "zod";
import { AppError } from "../../src/errors.js";
import type { ImageStore } from "../../src/images/store.js";
import { createLogger } from "../../src/log.js";
import { createService, type Service, type ServiceSettings } from "../../src/service.js";
import { DEFAULT_SERVICE } from "./defaults.js";
import { FakeRunner } from "./fake-runner.js";
import { FakeSidecar } from "./fake-sidecar-view.js";

export interface TestServerOptions extends Partial<ServiceSettings> {
  readonly runner?: FakeRunner;
  readonly sidecar?: FakeSidecar;
  readonly store?: ImageStore;
}

export interface TestServer extends Pick<Service, "admission" | "queue"> {
  readonly url: string;
  readonly port: number;
  readonly runner: FakeRunner;
  readonly sidecar: FakeSidecar;
  /** The parsed log lines so far. */
  readonly logLines: readonly LogLine[];
  /** Waits for a log line with this message. */
  untilLogged(message: string): Promise<void>;
  close(): Promise<void>;
}

const logLineSchema = z.record(z.string(), z.unknown());
export type LogLine = Readonly<z.output<typeof logLineSchema>>;

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const {
    runner = new FakeRunner(),
    sidecar = new FakeSidecar("ready"),
    store = null,
    ...settings
  } = options;
  const logLines: LogLine[] = [];
  const logEvents = new EventEmitter();
  const log = createLogger("debug", {
    write: (text) => {
      const line = logLineSchema.parse(JSON.parse(text));
      logLines.push(line);
      logEvents.emit("line");
    },
  });
  const untilLogged = async (message: string) => {
    while (!logLines.some((line) => line["msg"] === message)) await once(logEvents, "line");
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
  const close = async () => {
    queue.failAll(new AppError("shutting_down", "The test is over."));
    await server.close(0);
  };
  const url = `http://127.0.0.1:${port}`;
  return { url, port, runner, sidecar, admission, queue, logLines, untilLogged, close };
}
