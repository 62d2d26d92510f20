/** The file of recorded answers: one line for each answer and for each kind of log line. */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";

const FILE = fileURLToPath(new URL("../../fixtures/answers.json", import.meta.url));

const sceneSchema = z.object({
  answers: z.record(z.string(), z.unknown()),
  log: z.array(z.string()),
});
const recordingSchema = z.record(z.string(), sceneSchema);
export type Recording = z.output<typeof recordingSchema>;

export async function readRecording(): Promise<Recording> {
  return recordingSchema.parse(JSON.parse(await readFile(FILE, "utf8")));
}

export async function writeRecording(recording: Recording): Promise<void> {
  const scenes = Object.entries(recording).map(([name, { answers, log }]) => {
    const lines = Object.entries(answers).map((entry) => entry.map(encode).join(": "));
    const [key, ...kinds] = [encode(name), ...log.map(encode)];
    return `${key}: {"answers": {\n${lines.join(",\n")}\n}, "log": [\n${kinds.join(",\n")}\n]}`;
  });
  await writeFile(FILE, `{\n${scenes.join(",\n")}\n}\n`);
}

function encode(value: unknown): string {
  return JSON.stringify(value);
}
