/**
 * The built server, asked everything over HTTP, answers as recorded in test/fixtures/answers.json: in each scene groups
 * of requests, named after what they show, with one request and its answer a line. A new request is a line without an
 * answer. `RECORD_ANSWERS=1 npx vitest run test/system/answers.test.ts` records the answers, with `-t NAME` those of
 * one scene.
 */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { BuiltServer } from "../harness/built-server.mjs";
import { FIXTURES } from "../harness/paths.mjs";
import { fakeSidecar } from "../harness/sidecar-program.mjs";
import { listKinds, normalizeAnswer } from "./answers/normalize.js";
import { exchange, requestSchema, type RecordedRequest } from "./answers/request.js";
import { play, SCENES, type Scene } from "./answers/scenes.js";

const IS_RECORDING = process.env["RECORD_ANSWERS"] === "1";
const SCENE_LIMIT_MS = 300_000;
const FILE = path.join(FIXTURES, "answers.json");

const lineSchema = z.strictObject({ request: requestSchema, answer: z.unknown().optional() });
const sceneSchema = z.strictObject({
  answers: z.record(z.string(), z.array(lineSchema).nonempty()),
  log: z.array(z.string()),
});
/** Exactly the scenes that are played. */
const recordingSchema = z.record(z.enum(Object.keys(SCENES)), sceneSchema);
const recording = recordingSchema.parse(JSON.parse(await readFile(FILE, "utf8")));

function startServer({ sidecar, flags = "" }: Scene): Promise<BuiltServer> {
  // A busy machine is no fault of a sidecar.
  const given = `--missed_beats 600 ${flags}`.trim().split(" ");
  if (sidecar === undefined) return BuiltServer.start({ flags: given });
  return BuiltServer.start({ program: fakeSidecar(sidecar), flags: given });
}

/** Takes away the files that a request left, which must be images of its answer. */
async function takeSaved(server: BuiltServer, text: string): Promise<string[]> {
  const folder = path.join(server.folder, "pictures");
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile());
  const paths = files.map((file) => path.join(file.parentPath, file.name)).sort();
  for (const file of paths) expect.soft(text).toContain(await readFile(file, "base64"));
  await rm(folder, { recursive: true, force: true });
  return paths.map((file) => path.relative(folder, file).replace(/^[\d-]{10}_[\d-]{8}/, "<time>"));
}

async function ask(server: BuiltServer, scene: Scene, request: RecordedRequest): Promise<unknown> {
  const raw = await exchange(server.url, request);
  const hasSeed = /seed\W+\d/.test(JSON.stringify(request.body ?? ""));
  // What the real sidecar draws depends on the machine.
  const kept = { hasSeed, hasPixels: hasSeed && scene.sidecar !== undefined };
  const saved = await takeSaved(server, raw.text);
  return { ...(await normalizeAnswer(raw, kept)), ...(saved.length === 0 ? {} : { saved }) };
}

function encodeLines(values: readonly unknown[]): string {
  return `[\n${values.map((value) => JSON.stringify(value)).join(",\n")}\n]`;
}

afterAll(async () => {
  if (!IS_RECORDING) return;
  const scenes = Object.entries(recording).map(([name, { answers, log }]) => {
    const groups = Object.entries(answers).map(
      ([title, lines]) => `${JSON.stringify(title)}: ${encodeLines(lines)}`,
    );
    return `"${name}": {"answers": {\n${groups.join(",\n")}\n}, "log": ${encodeLines(log)}}`;
  });
  await writeFile(FILE, `{\n${scenes.join(",\n")}\n}\n`);
});

test.each(Object.entries(SCENES))(
  "%s",
  async (name, scene) => {
    const server = await startServer(scene);
    onTestFinished(() => server.dispose());
    const recorded = recording[name];
    const groups = Object.entries(recorded?.answers ?? {}).map(([title, lines]) => async () => {
      for (const line of lines) {
        const answer = await ask(server, scene, line.request);
        if (IS_RECORDING) line.answer = answer;
        const what = `${title}: ${JSON.stringify(line.request)}`;
        expect.soft(answer, what).toEqual(line.answer);
      }
    });

    await play(scene, server, groups);

    const log = listKinds(server.lines);
    if (IS_RECORDING && recorded !== undefined) recorded.log = log;
    expect.soft(log, "kinds of log lines").toEqual(recorded?.log);
  },
  SCENE_LIMIT_MS,
);
