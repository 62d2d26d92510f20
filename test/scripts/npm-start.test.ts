/** What npm does with `npm start`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { z } from "zod";
import { ROOT } from "../harness/paths.mjs";
import { makeFolder } from "../support/folder.js";

const packageSchema = z.object({ scripts: z.object({ start: z.string() }) });
/** In place of the server: names itself, then waits for its signal and says that it came. */
const PROGRAM = `
process.on("SIGTERM", () => { console.log("stopped"); process.exit(0); });
setTimeout(() => process.exit(1), 30_000);
console.log("args " + process.argv.slice(2).join(" "));
`;

test("npm start hands SIGTERM and its flags on to the server itself", async () => {
  const folder = makeFolder();
  const text = readFileSync(path.join(ROOT, "package.json"), "utf8");
  const { scripts } = packageSchema.parse(JSON.parse(text));
  const content = { name: "sample", version: "1.0.0", scripts: { start: scripts.start } };
  writeFileSync(path.join(folder, "package.json"), JSON.stringify(content));
  mkdirSync(path.join(folder, "scripts"));
  writeFileSync(path.join(folder, "scripts", "start.mjs"), PROGRAM);
  const npm = spawn("npm", ["--silent", "start", "--", "--port", "0"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = once(npm, "close");
  const lines: string[] = [];
  for await (const line of createInterface(npm.stdout)) {
    lines.push(line);
    if (lines.length === 1) npm.kill("SIGTERM");
  }
  await closed;
  expect(lines).toEqual(["args --port 0", "stopped"]);
});
