/** A log that cannot be written is never a reason to stop serving, or not to end. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync, readFileSync, readSync, mkdirSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { spawnServer } from "../harness/built-server.mjs";
import { readHealth } from "../harness/health.mjs";
import { PATIENCE_MS, until } from "../harness/until.mjs";
import { makeFolder } from "../support/folder.js";

/** Their log lines are more than a pipe and the buffer of the log hold. */
const NOISE = Array.from({ length: 1_500 }, (_, index) => `/${"x".repeat(200)}${index}`);

/** A named pipe with a reader that has not read anything yet. */
function makePipe(): { readonly file: string; readonly reader: number } {
  const file = path.join(makeFolder(), "pipe");
  spawnSync("mkfifo", [file]);
  return { file, reader: openSync(file, constants.O_RDONLY | constants.O_NONBLOCK) };
}

async function findPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** The built server with its log in a file, after a command of the shell; it has no sidecar that works. */
async function startLoggingTo(file: string, shellLimit = ":") {
  const port = await findPort();
  const folder = makeFolder();
  mkdirSync(path.join(folder, "tmp"));
  const child = spawnServer(folder, {
    flags: [
      "--port",
      `${port}`,
      "--model_version",
      "Nano",
      "--sidecar_python",
      "/nonexistent/python",
    ],
    shellLimit: `${shellLimit}; exec >> "${file}"`,
  });
  const exited = once(child, "exit");
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const url = `http://127.0.0.1:${port}`;
  await until(
    () => readHealth(url).catch(() => null),
    PATIENCE_MS,
    () => "it does not answer",
  );
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
    return child.exitCode;
  };
  return { url, stop };
}

async function makeNoise(url: string): Promise<void> {
  for (let start = 0; start < NOISE.length; start += 100) {
    const answers = NOISE.slice(start, start + 100).map((part) => fetch(url + part));
    for (const answer of await Promise.all(answers)) await answer.arrayBuffer();
  }
}

async function countDropped(url: string): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text();
  return Number(/^dalle_log_lines_dropped_total (\d+)$/m.exec(page)?.[1]);
}

function readNow(descriptor: number): string {
  const chunk = Buffer.alloc(1024 * 1024);
  try {
    return chunk.toString("utf8", 0, readSync(descriptor, chunk));
  } catch {
    return "";
  }
}

describe("with a log that cannot be written the server answers, counts the lines, and ends", () => {
  test("when the disk is full", async () => {
    const { url, stop } = await startLoggingTo("/dev/full");
    await makeNoise(url);
    expect(await countDropped(url)).toBeGreaterThanOrEqual(NOISE.length);
    expect(await stop()).toBe(0);
  });

  test("when the file has reached its limit, whose last whole line can be read", async () => {
    const file = path.join(makeFolder(), "log");
    const { url, stop } = await startLoggingTo(file, "ulimit -f 64");
    await makeNoise(url);
    expect(await countDropped(url)).toBeGreaterThan(0);
    expect(await stop()).toBe(0);
    const whole = readFileSync(file, "utf8").split("\n").slice(0, -1);
    for (const line of whole) expect(() => void JSON.parse(line)).not.toThrow();
  });

  test("when the reader of a pipe has gone", async () => {
    const { file, reader } = makePipe();
    const { url, stop } = await startLoggingTo(file);
    closeSync(reader);
    await makeNoise(url);
    expect(await countDropped(url)).toBeGreaterThanOrEqual(NOISE.length);
    expect(await stop()).toBe(0);
  });

  test("when the reader of a pipe does not read", async () => {
    const { file } = makePipe();
    const { url, stop } = await startLoggingTo(file);
    await makeNoise(url);
    expect(await countDropped(url)).toBeGreaterThan(0);
    expect(await stop()).toBe(0);
  });
});

test("a log that can be written again says how many lines are missing, and every line is whole", async () => {
  const { file, reader } = makePipe();
  const { url, stop } = await startLoggingTo(file);
  await makeNoise(url);
  let text = "";
  const readUntil = async (part: string) => {
    const look = () => ((text += readNow(reader)).includes(part) ? true : null);
    await until(look, PATIENCE_MS, () => `the log has no "${part}"`);
  };

  await readUntil("log lines could not be written");

  expect(await stop()).toBe(0);
  await readUntil('"Stopped"');
  const lines = text.split("\n").slice(0, -1);
  for (const line of lines) expect(() => void JSON.parse(line)).not.toThrow();
});
