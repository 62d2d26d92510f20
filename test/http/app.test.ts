/** What holds for every route: request ids, lines in the log, the shape of errors. */
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { beforeEach, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../support/test-server.js";

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer();
});

const readId = (response: Response) => response.headers.get("x-request-id");
/** The line that the log gets at the end of a request. */
const untilLine = (response: Response) => server.untilLogged({ requestId: readId(response) });

test("every answer has its own request id, which the log has too", async () => {
  const responses = [await fetch(server.url), await fetch(`${server.url}/nowhere`)];
  const lines = await Promise.all(responses.map(untilLine));
  expect(lines).toMatchObject([{ status: 200 }, { status: 404 }]);
  expect(new Set(responses.map(readId)).size).toBe(2);
  for (const response of responses) expect(readId(response)).toMatch(/^req_/);
});

test("the line of a refused request has its code, and of a server error the reason", async () => {
  const bad = await untilLine(await server.post({}));
  server.sidecar.set({ state: "failed" });
  const early = await untilLine(await server.post({ text: "a" }));

  expect(bad).toMatchObject({ status: 400, code: "invalid_value", level: "info" });
  expect(bad["reason"]).toBeUndefined();
  expect(early).toMatchObject({ status: 503, code: "not_ready", level: "warn" });
  expect(early["reason"]).toContain("The model cannot be served");
  // Both are expected: no stack, and no line beside it.
  expect(server.logLines.filter((line) => line["err"] !== undefined)).toEqual([]);
});

test("the line of a request that made images names the job, as does that of its prompt", async () => {
  const response = await server.post({ text: "a\nfake line\u001b[2J\u2028", num_images: 2 });
  const msg = String.raw`Created 2 images from text prompt [a\nfake line\u{1b}[2J\u{2028}]`;
  const { jobId } = await server.untilLogged({ msg });
  expect(jobId).toEqual(expect.any(String));
  expect(await untilLine(response)).toMatchObject({ status: 200, jobId });
});

test("bytes that are not HTTP get the usual error shape", async () => {
  const socket = connect(server.port, "127.0.0.1");
  socket.end("\u0016\u0003\u0001 hello\r\n\r\n");
  const [head = "", body = ""] = (await text(socket)).split("\r\n\r\n");
  expect(head).toContain("HTTP/1.1 400 ");
  expect(JSON.parse(body)).toMatchObject({
    error: { code: "invalid_request", type: "invalid_request_error" },
  });
});

test("/health_check gives the reason of a failure without folders and without log lines", async () => {
  const reason = "no file /root/models/x/config.json (see '/var/log/a.txt')\nTraceback: secret";
  const lastFailure = { code: "checkpoint_not_found", reason, at: 0 };
  server.sidecar.set({ state: "failed", lastFailure });
  const health: unknown = await (await fetch(`${server.url}/health_check`)).json();
  const at = "1970-01-01T00:00:00.000Z";
  expect(health).toMatchObject({
    sidecar: { lastFailure: { ...lastFailure, reason: "no file config.json (see 'a.txt')", at } },
  });
  expect(JSON.stringify(health)).not.toContain("secret");
});
