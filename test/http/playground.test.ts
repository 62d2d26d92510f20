/** The original playground page: its requests, and the answers it reads. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { startTestServer, type TestServer } from "../support/test-server.js";

/** What the original page reads of an answer. */
const pageSchema = z.looseObject({
  generatedImgs: z.array(z.base64()).min(1),
  generatedImgsFormat: z.enum(["jpeg", "png"]),
});

describe("the original playground page", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server.close());

  /** The page's own call: no Content-Type of its own, so the browser says text/plain. */
  function callAsPage(path: string, numImages?: number): Promise<Response> {
    return fetch(server.url + path, {
      method: "POST",
      headers: {
        "Bypass-Tunnel-Reminder": "go",
        mode: "no-cors",
        "Content-Type": "text/plain;charset=UTF-8",
        Origin: "http://localhost:3000",
      },
      body: JSON.stringify({ text: "an avocado armchair", num_images: numImages }),
    });
  }

  test("finds the server alive with its liveness call", async () => {
    const response = await fetch(server.url, { headers: { "Bypass-Tunnel-Reminder": "go" } });
    expect(response.ok).toBe(true);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
  });

  test.each(["/dalle", "//dalle"])(
    "gets its own names and a lower-case format from %s",
    async (path) => {
      const response = await callAsPage(path, 2);
      const answer = pageSchema.parse(await response.json());
      expect(answer.generatedImgs).toHaveLength(2);
      expect(answer.generatedImgsFormat).toBe("jpeg");
      expect(answer["generatedImages"]).toEqual(answer.generatedImgs);
    },
  );

  test("gets them by ?compat=playground too", async () => {
    const response = await fetch(`${server.url}/dalle?compat=playground`, {
      method: "POST",
      body: JSON.stringify({ text: "a" }),
    });
    expect(pageSchema.parse(await response.json()).generatedImgsFormat).toBe("jpeg");
  });

  test.each([
    [0, 400],
    [1, 200],
    [10, 200],
    [11, 200],
    [undefined, 200],
  ])("asking for %s images answers %i", async (numImages, status) => {
    const response = await callAsPage("/dalle", numImages);
    expect(response.status).toBe(status);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
  });
});
