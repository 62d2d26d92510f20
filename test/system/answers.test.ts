/**
 * The built server, asked everything over HTTP, answers as recorded in test/fixtures/answers.json. Recorded again by
 * `RECORD_ANSWERS=1 npx vitest run test/system/answers.test.ts`, one scene by adding `-t NAME`.
 */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { exchange, readImages, type Ask } from "./answers/exchange.js";
import { listKinds, normalizeAnswer, type Answer } from "./answers/normalize.js";
import { readRecording, writeRecording, type Recording } from "./answers/recording.js";
import { end, SCENES, type Scene } from "./answers/scenes.js";

const IS_RECORDING = process.env["RECORD_ANSWERS"] === "1";
const SCENE_LIMIT_MS = 300_000;

type Server = Awaited<ReturnType<Scene["start"]>>;
/** What a scene showed: its answers by request, and the kinds of lines in its log. */
type Shown = Recording[string];
const NOTHING: Shown = { answers: {}, log: [] };

/** The files that a request left, which must be the images of its answer; they are removed. */
async function takeSaved(folder: string, images: readonly string[]): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile());
  const paths = files.map((file) => path.join(file.parentPath, file.name)).sort();
  const bytes = await Promise.all(paths.map((file) => readFile(file, "base64")));
  expect.soft(bytes).toEqual(images);
  await rm(folder, { recursive: true, force: true });
  return paths.map((file) => path.relative(folder, file).replace(/^[\d-]{10}_[\d-]{8}/, "<time>"));
}

/** Plays a scene to the end of its server. */
async function show(scene: Scene, server: Server, folder: string): Promise<Shown> {
  const answers: Record<string, Answer> = {};
  const send = async (request: Ask): Promise<string[]> => {
    expect(answers, "asked once").not.toHaveProperty([request.name]);
    const raw = await exchange(server.url, request);
    const hasPixels = request.hasSeed && scene.hasPixels !== false;
    const answer = await normalizeAnswer(raw, { hasSeed: request.hasSeed, hasPixels });
    const images = readImages(raw);
    const output = scene.output === undefined ? null : path.join(folder, scene.output);
    answers[request.name] =
      output === null ? answer : { ...answer, saved: await takeSaved(output, images) };
    return images;
  };
  await scene.play(server, send);
  return { answers, log: listKinds(await end(server, scene)) };
}

async function run(scene: Scene): Promise<Shown> {
  const folder = await mkdtemp(path.join(tmpdir(), "dalle-answers-"));
  const server = await scene.start(folder);
  try {
    return await show(scene, server, folder);
  } finally {
    await server.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}

describe("the server answers as recorded", async () => {
  const recording = await readRecording();

  afterAll(async () => {
    if (!IS_RECORDING) return;
    const played = SCENES.map(({ name }) => [name, recording[name] ?? NOTHING] as const);
    await writeRecording(Object.fromEntries(played));
  });

  test.each(SCENES)(
    "$name",
    async (scene) => {
      const shown = await run(scene);
      if (IS_RECORDING) recording[scene.name] = shown;
      const recorded = recording[scene.name] ?? NOTHING;
      for (const [name, answer] of Object.entries(shown.answers))
        expect.soft(answer, name).toEqual(recorded.answers[name]);
      const names = Object.keys(shown.answers);
      expect.soft(Object.keys(recorded.answers).sort(), "requests").toEqual(names.sort());
      expect.soft(shown.log, "kinds of log lines").toEqual(recorded.log);
    },
    SCENE_LIMIT_MS,
  );

  test.skipIf(IS_RECORDING)("no scene is recorded that is not played", () => {
    expect(Object.keys(recording).sort()).toEqual(SCENES.map(({ name }) => name).sort());
  });
});
