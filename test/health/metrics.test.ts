import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test, vi } from "vitest";
import { ImageStore } from "../../src/images/store.js";
import { FakeRunner } from "../support/fake-runner.js";
import { MetricsPage } from "../support/metrics-page.js";
import { startTestServer, type TestServerOptions } from "../support/test-server.js";
import { makeFolder } from "../support/folder.js";

async function start(options: TestServerOptions = {}) {
  const server = await startTestServer(options);
  return { server, post: server.post, read: () => MetricsPage.fetch(server.url) };
}

describe("/metrics", () => {
  test("counts requests by route and status, whatever paths are asked for", async () => {
    const { server, post, read } = await start();
    await post({ text: "a" });
    await post({ text: "a" });
    await post({});
    for (const name of ["one", "two", "three"]) await fetch(`${server.url}/${name}`);
    await fetch(`${server.url}/v1/models/dall-e-2`);
    await fetch(`${server.url}/models/dall-e-3`);

    const page = await read();

    expect(page.all("dalle_http_requests_total")).toEqual({
      '{route="/dalle",status="200"}': 2,
      '{route="/dalle",status="400"}': 1,
      '{route="none",status="404"}': 3,
      '{route="/v1/models/:id",status="200"}': 2,
    });
    expect(page.get('dalle_http_request_duration_seconds_count{route="/dalle"}')).toBe(3);
  });

  test("counts a caller who left as 499", async () => {
    const { server, read } = await start({ runner: new FakeRunner({ isHolding: true }) });
    const caller = new AbortController();
    server.post({ text: "a" }, { signal: caller.signal }).catch(() => undefined);
    await server.runner.untilStarted(1);

    caller.abort();

    await server.untilLogged({ msg: "The caller left" });
    expect((await read()).get('dalle_http_requests_total{route="/dalle",status="499"}')).toBe(1);
  });

  test("counts images, and how long they waited and took", async () => {
    const { post, read } = await start();
    await post({ text: "a", num_images: 3, seed: 1 });

    const page = await read();

    expect(page.get("dalle_images_made_total")).toBe(3);
    expect(page.get("dalle_image_duration_seconds_count")).toBe(3);
    expect(page.get("dalle_image_duration_seconds_sum")).toBeCloseTo(0.03);
    expect(page.get("dalle_queue_wait_seconds_count")).toBe(3);
    expect(page.get('dalle_jobs_total{outcome="completed"}')).toBe(1);
  });

  test("measures the wait of an image once, however often it is begun", async () => {
    const runner = new FakeRunner({ isHolding: true });
    const { server, post, read } = await start({ runner });
    const answer = post({ text: "a" });
    await runner.untilStarted(1);
    runner.loseAll();
    runner.comeBack();
    await runner.untilStarted(2);
    await vi.waitFor(() => {
      expect(server.queue.report().runningImages).toBe(1);
    });
    runner.finishNext();
    await answer;

    const page = await read();

    expect(page.get("dalle_images_retried_total")).toBe(1);
    expect(page.get("dalle_queue_wait_seconds_count")).toBe(1);
  });

  test("counts image tokens as they are decoded, not when their image is there", async () => {
    const runner = new FakeRunner({ isHolding: true });
    const { post, read } = await start({ runner });
    const answer = post({ text: "a" });
    await runner.untilStarted(1);

    runner.held[0]?.options.onProgress?.(3);

    expect((await read()).get("dalle_image_tokens_total")).toBe(3);
    runner.finishNext();
    await answer;
    expect((await read()).get("dalle_image_tokens_total")).toBe(4);
  });

  test("counts images that could not be saved, and those that were", async () => {
    const folder = makeFolder();
    const good = await start({ store: new ImageStore(path.join(folder, "here")) });
    await writeFile(path.join(folder, "file"), "");
    const bad = await start({ store: new ImageStore(path.join(folder, "file")) });

    await good.post({ text: "a" });
    await bad.post({ text: "a", num_images: 2, seed: 1 });

    expect((await good.read()).get("dalle_images_saved_total")).toBe(1);
    expect((await bad.read()).get("dalle_image_save_failures_total")).toBe(2);
  });

  test("tells of the process: memory, descriptors, the lag of the event loop", async () => {
    const page = await (await start()).read();

    expect(page.get("process_resident_memory_bytes")).toBeGreaterThan(0);
    expect(page.get("process_open_fds")).toBeGreaterThan(0);
    expect(page.types.has("nodejs_eventloop_lag_p99_seconds")).toBe(true);
  });
});
