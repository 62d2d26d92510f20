/**
 * npm run pictures: draws with the embedded checkpoint over HTTP, always the first seeds, and writes the pictures,
 * the page that shows them (docs/pictures.md) and the README's grid.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { BuiltServer } from "../test/harness/built-server.mjs";
import { ROOT } from "../test/harness/paths.mjs";

const FOLDER = join(ROOT, "docs", "pictures");
const PAGE_COLUMNS = 5;
const README_COLUMNS = 6;
const README_PICTURES = 12;
const README_GRID = /(<!-- pictures: npm run pictures -->\n)[\s\S]*?(\n<!-- end of pictures -->)/;

const answerSchema = z.object({ generatedImages: z.tuple([z.base64()]) });
const thingsSchema = z.object({ things: z.array(z.string()) });
const shapesSchema = z.object({ sentences: z.array(z.looseObject({ text: z.string() })) });

/** @param {string} path */
async function readJson(path) {
  /** @type {unknown} */
  const parsed = JSON.parse(await readFile(join(ROOT, path), "utf8"));
  return parsed;
}

/**
 * @param {string} kind first part of the file names
 * @param {readonly string[]} texts
 * @returns {Promise<{ file: string, text: string }[]>}
 */
async function draw(kind, texts) {
  const drawn = [];
  for (const [index, text] of texts.entries()) {
    const response = await server.post({ text, seed: index });
    const { generatedImages } = answerSchema.parse(await response.json());
    const file = `${kind}-${String(index + 1).padStart(2, "0")}.png`;
    await writeFile(join(FOLDER, file), Buffer.from(generatedImages[0], "base64"));
    drawn.push({ file, text });
  }
  return drawn;
}

/**
 * @param {readonly { file: string, text: string }[]} pictures
 * @param {string} folder
 * @param {number} columns
 */
function table(pictures, folder, columns) {
  const cells = pictures.map(({ file, text }) => `![${text}](${folder}/${file})<br>${text}`);
  const rows = [`|${" |".repeat(columns)}`, `|${" --- |".repeat(columns)}`];
  for (let start = 0; start < cells.length; start += columns) {
    rows.push(`| ${cells.slice(start, start + columns).join(" | ")} |`);
  }
  return rows.join("\n");
}

const { things } = thingsSchema.parse(await readJson("scripts/picture-prompts.json"));
const { sentences } = shapesSchema.parse(await readJson("test/fixtures/nano-sentences.json"));
await mkdir(FOLDER, { recursive: true });
const flags = ["--model_version", "Nano", "--img_format", "PNG"];
const server = await BuiltServer.start({ flags });
await server.untilReady();
const thingPictures = await draw("thing", things);
const shapeTexts = sentences.map(({ text }) => text);
const shapePictures = await draw("shape", shapeTexts);
await server.stop();
await server.dispose();

const page = `# Pictures of the embedded checkpoint

The first picture that came for each sentence (seeds 0, 1, 2, ...), drawn by \`npm run pictures\`. What Nano knows,
and how often it is right, stands in [its model card](../checkpoints/nano/README.md).

## Things

The last sentence is one it cannot know.

${table(thingPictures, "pictures", PAGE_COLUMNS)}

## Shapes

Twenty sentences whose colours and shapes were never seen together in training;
\`test/python/test_nano.py\` judges such pictures by their pixels.

${table(shapePictures, "pictures", PAGE_COLUMNS)}
`;
await writeFile(join(ROOT, "docs", "pictures.md"), page);

const readme = await readFile(join(ROOT, "README.md"), "utf8");
if (!README_GRID.test(readme)) throw new Error("README.md has no place marked for the pictures");
const grid = table(thingPictures.slice(0, README_PICTURES), "docs/pictures", README_COLUMNS);
const filled = readme.replace(README_GRID, (_, before, after) => `${before}\n${grid}\n${after}`);
await writeFile(join(ROOT, "README.md"), filled);
const count = thingPictures.length + shapePictures.length;
process.stdout.write(`${count} pictures in docs/pictures.md\n`);
