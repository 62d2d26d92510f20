/** What holds for every route. */
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { FakeSidecar } from "../support/fake-sidecar-view.js";
import { startTestServer, type LogLine, type TestServer } from "../support/test-server.js";

/** Sends bytes as they are and returns the whole answer. */
async function sendRaw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.end(bytes);
  return text(socket);
}

describe("the HTTP surface", () => {
  const post = (body: string) => fetch(`${server.url}/dalle`, { method: "POST", body });

  /** The line that the log gets at the end of a request. */
  function findLine(response: Response): Promise<LogLine> {
    const requestId = response.headers.get("x-request-id");
    return vi.waitFor(() => {
      const line = server.logLines.find((found) => found["requestId"] === requestId);
      if (line === undefined) throw new Error("the request has no line yet");
      return line;
    });
  }

  let server: TestServer;
  const sidecar = new FakeSidecar("ready");
  beforeAll(async () => {
    server = await startTestServer({ sidecar });
  });
  afterAll(() => server.close());

  test("GET / says hello world as plain text", async () => {
    const response = await fetch(server.url);
    expect(await response.text()).toBe("hello world");
    expect(response.headers.get("content-type")).toContain("text/plain");
  });

  test.each(["/", "/health_check", "/ready", "/v1/models"])("HEAD %s answers 200", async (path) => {
    const response = await fetch(server.url + path, { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
  });

  test.each(["/", "/dalle", "//dalle", "/v1/images/generations", "/health_check", "/nowhere"])(
    "a preflight on %s allows the asked headers from any page",
    async (path) => {
      const response = await fetch(server.url + path, {
        method: "OPTIONS",
        headers: {
          origin: "https://saharmor.github.io",
          "access-control-request-method": "POST",
          "access-control-request-headers": "bypass-tunnel-reminder,mode,x-stainless-os",
        },
      });
      expect(response.status).toBe(204);
      expect(response.headers.get("access-control-allow-origin")).toBe("*");
      expect(response.headers.get("access-control-allow-methods")).toContain("POST");
      expect(response.headers.get("access-control-allow-headers")).toBe(
        "bypass-tunnel-reminder,mode,x-stainless-os",
      );
    },
  );

  test("a bare OPTIONS is answered with success", async () => {
    const response = await fetch(`${server.url}/v1/images/generations`, { method: "OPTIONS" });
    expect(response.ok).toBe(true);
  });

  test.each(["//", "///health_check", "//health_check?a=//b", "/health_check/"])(
    "slashes too many in %s do no harm",
    async (path) => {
      expect((await fetch(server.url + path)).status).toBe(200);
    },
  );

  test("every answer has its own request id, which the log has too", async () => {
    const [found, missing] = await Promise.all([fetch(server.url), fetch(`${server.url}/nowhere`)]);
    const ids = [found, missing].map((response) => response.headers.get("x-request-id"));
    expect(new Set(ids).size).toBe(2);
    expect(server.logLines.map((line) => line["requestId"])).toEqual(expect.arrayContaining(ids));
    expect(found.headers.get("access-control-expose-headers")).toContain("x-request-id");
  });

  test("the line of a refused request has its code, and of a server error the reason", async () => {
    sidecar.set({ state: "failed" });
    const bad = await findLine(await post("{}"));
    const early = await findLine(await post(`{"text": "a"}`));
    sidecar.set({ state: "ready" });

    expect(bad).toMatchObject({ status: 400, code: "invalid_value", level: "info" });
    expect(bad["reason"]).toBeUndefined();
    expect(early).toMatchObject({ status: 503, code: "not_ready", level: "warn" });
    expect(early["reason"]).toContain("The model cannot be served");
    // Both are expected: no stack, and no line beside it.
    expect(server.logLines.filter((line) => line["err"] !== undefined)).toEqual([]);
  });

  test("the line of a request that made images names the job", async () => {
    const line = await findLine(await post(`{"text": "a"}`));
    const created = server.logLines.findLast(({ msg }) => String(msg).startsWith("Created"));
    expect(line).toMatchObject({ status: 200, jobId: created?.["jobId"] });
    expect(line["jobId"]).toEqual(expect.any(String));
  });

  test.each([
    ["bytes that are not HTTP", "\u0016\u0003\u0001 hello\r\n\r\n", "400", "invalid_request"],
    ["an unknown method", "BREW /dalle HTTP/1.1\r\nhost: a\r\n\r\n", "400", "invalid_request"],
    [
      "headers of 100 KB",
      `GET / HTTP/1.1\r\nhost: a\r\nx-big: ${"a".repeat(100_000)}\r\n\r\n`,
      "431",
      "headers_too_large",
    ],
  ])("%s get the usual error shape", async (_name, bytes, status, code) => {
    const answer = await sendRaw(server.port, bytes);
    const [head = "", body = ""] = answer.split("\r\n\r\n");
    expect(head).toContain(`HTTP/1.1 ${status} `);
    expect(JSON.parse(body)).toMatchObject({ error: { code, type: "invalid_request_error" } });
  });
});

describe("health", () => {
  let server: TestServer;
  const sidecar = new FakeSidecar("starting");
  beforeEach(async () => {
    server = await startTestServer({ sidecar });
  });
  afterEach(() => server.close());

  const states = ["starting", "loading", "ready", "backing_off", "draining", "stopped", "failed"];
  test.each(states as readonly ReturnType<FakeSidecar["status"]>["state"][])(
    "/health_check succeeds and /ready tells the truth while the sidecar is %s",
    async (state) => {
      sidecar.set({ state, nextTryAt: state === "backing_off" ? Date.now() + 4_000 : null });
      const health = await fetch(`${server.url}/health_check`);
      const ready = await fetch(`${server.url}/ready`);
      const isReady = state === "ready";
      expect(health.status).toBe(200);
      expect(await health.json()).toMatchObject({
        success: true,
        state,
        model: "Nano",
        ready: isReady,
        sidecar: { state, pid: 4242 },
        queue: { waitingImages: 0, limit: 500 },
      });
      expect(ready.status).toBe(isReady ? 200 : 503);
      expect(ready.headers.has("retry-after")).toBe(!isReady);
    },
  );

  test("a server that stops says so and refuses", async () => {
    sidecar.set({ state: "ready" });
    server.admission.stop();
    const health = await fetch(`${server.url}/health_check`);
    const refused = await fetch(`${server.url}/dalle`, { method: "POST", body: `{"text":"a"}` });
    expect(await health.json()).toMatchObject({ success: true, state: "stopping", ready: false });
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ error: { code: "shutting_down" } });
  });

  test("the reason of a failure is told without folders and without log lines", async () => {
    const reason = "no file /root/models/x/config.json (see '/var/log/a.txt')\nTraceback: secret";
    sidecar.set({ state: "failed", lastFailure: { code: "checkpoint_not_found", reason, at: 0 } });
    const text = await (await fetch(`${server.url}/health_check`)).text();
    expect(JSON.parse(text)).toMatchObject({
      sidecar: {
        lastFailure: {
          code: "checkpoint_not_found",
          reason: "no file config.json (see 'a.txt')",
          at: "1970-01-01T00:00:00.000Z",
        },
      },
    });
    expect(text).not.toContain("secret");
  });
});
