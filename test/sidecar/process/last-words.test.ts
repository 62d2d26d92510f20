/** What a sidecar sent just before its end still counts. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as waitMs } from "node:timers/promises";
import { expect, test } from "vitest";
import { createLogger } from "../../../src/log.js";
import { Spawn } from "../../../src/sidecar/spawn.js";
import { openEndpoint } from "../../../src/sidecar/endpoint.js";
import { EventLog } from "../../../src/sidecar/event-log.js";
import { MAGIC } from "../../../src/wire/frames.js";
import { DEFAULT_LIMITS } from "../../support/defaults.js";
import { makeFolder } from "../../support/folder.js";
import { PLAIN } from "../support.js";

/** Longer than anything but the reason of an end for good is waited for. */
const LATE_MS = 200;
const FAILED = {
  ...{ taskId: null, attempt: null, retryable: false, fatal: true },
  ...{ code: "checkpoint_invalid", message: "a leaf is missing" },
};

function createFrames(type: string, header: object): Uint8Array[] {
  return [MAGIC, type, JSON.stringify(header)].map((text) => Buffer.from(text));
}

test("the reason of an end for good counts, even when it arrives long after the exit", async () => {
  const folder = makeFolder();
  const log = createLogger("silent");
  const place = { ...PLAIN, runFolderParent: folder };
  const post = await openEndpoint(place, new EventLog(log), () => undefined);
  const tokenFile = path.join(folder, "token");
  const script = `printf %s "$DALLE_SIDECAR_TOKEN" > "${tokenFile}"; exit 3`;
  let tellExit: () => void = () => undefined;
  const exited = new Promise<void>((resolve) => (tellExit = resolve));
  const generation = new Spawn({
    ...{ ...PLAIN, number: 1, limits: DEFAULT_LIMITS, log },
    program: { command: "/bin/sh", args: ["-c", script], cwd: folder, env: {} },
    transport: post.transport,
    onChange: () => {
      tellExit();
    },
    onFreed: () => undefined,
  });

  await exited;
  await waitMs(LATE_MS);
  const token = readFileSync(tokenFile, "utf8");
  generation.receive(createFrames("HELLO", { build: "0", pid: 1, generation: 1, token }));
  generation.receive(createFrames("FAILED", FAILED));

  const { failure } = await generation.ended;
  expect(failure).toMatchObject({ code: "checkpoint_invalid", isPermanent: true });
  await post.close();
});
