// Step `data`: rasterise the icons of concepts.txt, one file for each size, as raw RGBA in the order of the list.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import sharp from "sharp";

const SIDES = [112, 64, 48];

const require = createRequire(import.meta.url);
const set = require("@iconify-json/fluent-emoji-flat/icons.json");

const list = await readFile(new URL("concepts.txt", import.meta.url), "utf8");
const names = list
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => line.replace(/^~/, "").split("|")[0].trim());

function svg(name, side) {
  const icon = set.icons[name];
  if (icon === undefined) throw new Error(`${name} is not an icon of fluent-emoji-flat`);
  const { left = 0, top = 0, width = set.width, height = set.height, body } = icon;
  const box = `${left} ${top} ${width} ${height}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${side}" height="${side}" viewBox="${box}">${body}</svg>`;
}

async function rasterize(name, side) {
  const picture = sharp(Buffer.from(svg(name, side)));
  return await picture
    .resize(side, side, { fit: "contain", background: { r: 0, g: 0, b: 0, alpha: 0 } })
    .ensureAlpha()
    .raw()
    .toBuffer();
}

const work = new URL("work/", import.meta.url);
await mkdir(work, { recursive: true });
for (const side of SIDES) {
  const pictures = await Promise.all(names.map((name) => rasterize(name, side)));
  await writeFile(new URL(`icons-${side}.rgba`, work), Buffer.concat(pictures));
  console.log(`${names.length} icons at ${side} x ${side}`);
}
