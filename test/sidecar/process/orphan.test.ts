import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { endOrphan, recordSidecar } from "../../../src/sidecar/process/orphan.js";
import { readPidNamespace } from "../../../src/sidecar/process/procfs.js";
import { createRunFolder, sweepRunFolders } from "../../../src/sidecar/process/run-folder.js";
import { makeFolder } from "../../support/folder.js";
import { expectGone, isRunning, NO_PID } from "../../support/processes.js";

const ARGS = ["--endpoint", "ipc:///nowhere/s.sock", "--identity", "s0-g1-0123456789abcdef"];

/** A process that ends by a signal only, with the command line of a sidecar. */
function startStubborn(args: readonly string[] = ARGS): number {
  const script = "setInterval(() => {}, 1000)";
  const child = spawn(process.execPath, ["-e", script, "--", ...args], {
    detached: true,
    stdio: "ignore",
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  if (child.pid === undefined) throw new Error("Node can be started");
  return child.pid;
}

/** The run folder of a server that was killed, whose sidecar was `pid`. */
function plantLeftover(pid: number, changes: object = {}): string {
  const parent = makeFolder();
  const folder = path.join(parent, "dalle-run-a");
  mkdirSync(folder, { mode: 0o700 });
  const owner = { pid: NO_PID, startTime: "1", pidNamespace: readPidNamespace() };
  writeFileSync(path.join(folder, "owner.json"), JSON.stringify(owner));
  recordSidecar(folder, pid, ARGS);
  const file = path.join(folder, "sidecar.json");
  const record: unknown = JSON.parse(readFileSync(file, "utf8"));
  writeFileSync(file, JSON.stringify(Object.assign({}, record, changes)));
  return parent;
}

test("the sidecar of a server that was killed is ended, and its folder removed", async () => {
  const pid = startStubborn();
  const parent = plantLeftover(pid);
  const ended: number[] = [];

  await sweepRunFolders(parent, (one) => ended.push(one));

  expect(ended).toEqual([pid]);
  await expectGone(pid);
  expect(readdirSync(parent)).toEqual([]);
});

test.each([
  ["started at another time: the pid was used again", { startTime: "1" }],
  ["has another command line", { args: [...ARGS.slice(0, -1), "s0-g1-fedcba9876543210"] }],
  ["has a longer command line than it", { args: Array(99).fill("x") }],
])("a process stays alive that %s", async (_title, changes) => {
  const pid = startStubborn();
  const parent = plantLeftover(pid, changes);
  const ended: number[] = [];

  await sweepRunFolders(parent, (one) => ended.push(one));

  expect(ended).toEqual([]);
  expect(isRunning(pid)).toBe(true);
  expect(readdirSync(parent)).toEqual([]);
});

test("a process stays alive whose record says too little", async () => {
  const pid = startStubborn();
  const folder = path.join(plantLeftover(pid), "dalle-run-a");
  writeFileSync(path.join(folder, "sidecar.json"), JSON.stringify({ pid }));

  expect(await endOrphan(folder)).toBeNull();
  expect(isRunning(pid)).toBe(true);
});

test("the sidecar of a server that lives stays alive", async () => {
  const parent = makeFolder();
  const pid = startStubborn();
  const folder = await createRunFolder(parent);
  recordSidecar(folder, pid, ARGS);

  expect(await sweepRunFolders(parent)).toBe(0);
  expect(isRunning(pid)).toBe(true);
});
