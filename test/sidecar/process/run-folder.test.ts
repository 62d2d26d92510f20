import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { createRunFolder, sweepRunFolders } from "../../../src/sidecar/process/run-folder.js";
import { makeFolder } from "../../support/folder.js";
import { NO_PID } from "../../support/processes.js";

/** A run folder as another server would have left it. */
function plantFolder(parent: string, name: string, owner: object | null, mode = 0o700): string {
  const folder = path.join(parent, name);
  mkdirSync(folder, { mode });
  if (owner !== null) writeFileSync(path.join(folder, "owner.json"), JSON.stringify(owner));
  return folder;
}

/** What a run folder of this very process says of its owner. */
async function readOwner(): Promise<Record<string, unknown>> {
  const folder = await createRunFolder(makeFolder());
  const text = readFileSync(path.join(folder, "owner.json"), "utf8");
  return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
}

describe("a run folder", () => {
  test("can be entered by its user only", async () => {
    const folder = await createRunFolder(makeFolder());

    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  test("of a living server stays", async () => {
    const parent = makeFolder();
    const folders = [await createRunFolder(parent), await createRunFolder(parent)];

    const names = folders.map((folder) => path.basename(folder));
    expect(readdirSync(parent).sort()).toEqual(names.sort());
  });
});

describe("the sweep", () => {
  test.each([
    ["is gone", { pid: NO_PID }],
    ["had a pid that another process has now", { startTime: "1" }],
  ])("removes the folder of a server that %s", async (_title, changes) => {
    const parent = makeFolder();
    plantFolder(parent, "dalle-run-a", { ...(await readOwner()), ...changes });

    expect(await sweepRunFolders(parent)).toBe(1);
    expect(readdirSync(parent)).toEqual([]);
  });

  test("removes a folder that was left half made, after a while", async () => {
    const parent = makeFolder();
    const folder = plantFolder(parent, "dalle-run-a", null);
    expect(await sweepRunFolders(parent)).toBe(0);

    utimesSync(folder, 0, 0);

    expect(await sweepRunFolders(parent)).toBe(1);
  });

  test("leaves what it knows nothing about", async () => {
    const parent = makeFolder();
    const owner = await readOwner();
    plantFolder(parent, "dalle-run-container", { ...owner, pid: NO_PID, pidNamespace: "pid:[1]" });
    plantFolder(parent, "dalle-run-open", { ...owner, pid: NO_PID }, 0o755);
    plantFolder(parent, "somebody-else", { ...owner, pid: NO_PID });
    const used = plantFolder(parent, "dalle-run-used", null);
    writeFileSync(path.join(used, "thesis.txt"), "");
    utimesSync(used, 0, 0);
    writeFileSync(path.join(parent, "dalle-run-file"), "");

    expect(await sweepRunFolders(parent)).toBe(0);
    expect(readdirSync(parent)).toHaveLength(5);
  });
});
