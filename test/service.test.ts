/** What the parts of the server do together. */
import { describe, expect, test } from "vitest";
import { createLostError, FakeRunner } from "./support/fake-runner.js";
import { startTestServer } from "./support/test-server.js";

const BODY = { text: "a" };

async function expectError(response: Response, status: number, code: string): Promise<void> {
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ error: { code } });
}

describe("the server", () => {
  test("refuses a prompt for a time that ended the sidecar as often as it may", async () => {
    const runner = new FakeRunner({ isHolding: true });
    const server = await startTestServer({ runner, deathLimit: 1 });
    const answer = server.post(BODY);
    await runner.untilStarted(1);
    runner.failNext(createLostError());

    await expectError(await answer, 500, "sidecar_crashed");
    await expectError(await server.post(BODY), 422, "prompt_quarantined");
  });

  test("ends the requests that wait once no sidecar can come", async () => {
    const runner = new FakeRunner({ seats: 1, isHolding: true });
    const server = await startTestServer({ runner });
    const answers = [server.post(BODY), server.post(BODY)];
    await runner.untilStarted(1);
    server.sidecar.set({ state: "failed" });

    for (const answer of answers) await expectError(await answer, 503, "not_ready");
  });
});
