import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { isRunning } from "../../support/processes.js";
import { createSetup, expectGone, makeFolder, PATIENCE, ROOT, waitForStatus } from "../support.js";

const lineSchema = z.object({
  state: z.string(),
  pid: z.number().nullable(),
  phase: z.string().nullable(),
});
type Line = z.infer<typeof lineSchema>;

/** What the specification allows, from the end of the server to the end of its sidecar. */
const ORPHAN_LIMIT_MS = 2_000;

/** Runs a server-like program and waits for the first status that fits. */
async function startProgram(folder: string, mode: string, fits: (line: Line) => boolean) {
  const program = path.join(ROOT, "test/fixtures/supervise.mjs");
  const child = spawn(process.execPath, [program, folder, mode], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  for await (const line of createInterface(child.stdout)) {
    const status = lineSchema.parse(JSON.parse(line));
    if (fits(status)) return { child, pid: status.pid };
  }
  throw new Error("the program ended before the status came");
}

/** Whether any process of a group is left, even one that only waits to be collected. */
function hasGroup(id: number): boolean {
  try {
    process.kill(-id, 0);
    return true;
  } catch {
    return false;
  }
}

test.each([
  ["is ready", "normal", ({ state }: Line) => state === "ready"],
  ["loads", "load-hang", ({ phase }: Line) => phase === "load"],
  ["ignores SIGTERM", "stubborn", ({ state }: Line) => state === "ready"],
])("a sidecar that %s ends with its server, even by SIGKILL", async (_title, mode, fits) => {
  const { child, pid } = await startProgram(makeFolder(), mode, fits);

  child.kill("SIGKILL");

  await expectGone(pid, ORPHAN_LIMIT_MS);
});

test("a sidecar whose server ended before it could ask for the signal ends by itself", async () => {
  const { child, pid } = await startProgram(
    makeFolder(),
    "never-hello",
    (line) => line.pid !== null,
  );

  child.kill("SIGKILL");

  await expectGone(pid);
});

test("a sidecar that no guard ended is ended by the next server, with all that it started", async () => {
  const folder = makeFolder();
  const { child, pid } = await startProgram(folder, "unguarded", (line) => line.pid !== null);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(isRunning(pid ?? 0)).toBe(true);

  const setup = createSetup("normal", { runFolderParent: folder });
  setup.supervisor.start();

  await waitForStatus(setup.supervisor, ({ state }) => state === "ready");
  await expectGone(pid);
  await expect.poll(() => hasGroup(pid ?? 0), PATIENCE).toBe(false);
  expect(setup.lines.join("")).toContain('"event":"orphan_ended"');
});

test("the folder of a killed server is removed by the next one", async () => {
  const folder = makeFolder();
  const { child, pid } = await startProgram(folder, "normal", ({ state }) => state === "ready");
  const [left] = readdirSync(folder);
  child.kill("SIGKILL");
  await expectGone(pid);
  await expectGone(child.pid ?? null);
  expect(readdirSync(folder)).toEqual([left]);

  const { supervisor } = createSetup("normal", { runFolderParent: folder });
  supervisor.start();
  await waitForStatus(supervisor, ({ state }) => state === "ready");

  expect(readdirSync(folder)).toHaveLength(1);
  expect(readdirSync(folder)).not.toContain(left);
});
