/**
 * npm run pictures: draws the test sentences with the embedded checkpoint over HTTP, and writes the
 * pictures and the page that shows them (docs/pictures.md).
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startServer } from "./lib/server.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const FOLDER = join(ROOT, "docs", "pictures");
const COLUMNS = 5;

const fixture = await readFile(join(ROOT, "test", "fixtures", "nano-sentences.json"), "utf8");
/** @type {unknown} */
const parsed = JSON.parse(fixture);
const { sentences } = /** @type {{ sentences: { text: string }[] }} */ (parsed);
await mkdir(FOLDER, { recursive: true });
const server = await startServer(["--model_version", "Nano", "--img_format", "PNG"]);
const cells = [];
for (const [index, { text }] of sentences.entries()) {
  const body = JSON.stringify({ text, seed: index });
  const response = await fetch(`${server.url}/dalle`, { method: "POST", body });
  const { generatedImages } = /** @type {{ generatedImages: [string] }} */ (await response.json());
  const name = `${String(index + 1).padStart(2, "0")}.png`;
  await writeFile(join(FOLDER, name), Buffer.from(generatedImages[0], "base64"));
  cells.push(`![${text}](pictures/${name})<br>${text}`);
}
await server.stop();

const rows = [];
for (let start = 0; start < cells.length; start += COLUMNS) {
  rows.push(`| ${cells.slice(start, start + COLUMNS).join(" | ")} |`);
}
const page = `# Pictures of the embedded checkpoint

Twenty sentences whose colours and shapes were never seen together in training, one picture each, seeds
0 to 19, the first that came. Drawn by \`npm run pictures\`; \`test/python/test_nano.py\` judges such
pictures by their pixels.

|${" |".repeat(COLUMNS)}
|${" --- |".repeat(COLUMNS)}
${rows.join("\n")}
`;
await writeFile(join(ROOT, "docs", "pictures.md"), page);
process.stdout.write(`${sentences.length} pictures in docs/pictures.md\n`);
