// Step `icons`: rasterise the icons of concepts.txt, a file for each size, raw RGBA in list order.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import sharp from "sharp";

/** In pixels: `ICON_CELLS` of sprites.py, which refuses other files, times 8. */
const SIDES = [112, 64, 48];
const CLEAR = { r: 0, g: 0, b: 0, alpha: 0 };

/**
 * What is read of an Iconify set: SVG bodies by name, and the view box of icons that name none.
 *
 * @typedef {{ body: string, left?: number, top?: number, width?: number, height?: number }} Icon
 * @typedef {{ width: number, height: number, icons: Partial<Record<string, Icon>> }} IconSet
 */

const { resolve } = createRequire(import.meta.url);
/** @type {unknown} */
const icons = JSON.parse(
  await readFile(resolve("@iconify-json/fluent-emoji-flat/icons.json"), "utf8"),
);
const set = /** @type {IconSet} */ (icons);

const list = await readFile(new URL("concepts.txt", import.meta.url), "utf8");
const names = list
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => line.replace(/^~/, "").replace(/\|.*/, "").trim());

/**
 * @param {string} name
 * @param {number} side - in pixels
 */
function svg(name, side) {
  const icon = set.icons[name];
  if (icon === undefined) throw new Error(`${name} is not an icon of fluent-emoji-flat`);
  const { left = 0, top = 0, width = set.width, height = set.height, body } = icon;
  const namespaces =
    'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"';
  const box = `viewBox="${left} ${top} ${width} ${height}"`;
  return `<svg ${namespaces} width="${side}" height="${side}" ${box}>${body}</svg>`;
}

/**
 * @param {string} name
 * @param {number} side - in pixels
 */
async function rasterize(name, side) {
  return await sharp(Buffer.from(svg(name, side)))
    .resize(side, side, { fit: "contain", background: CLEAR })
    .ensureAlpha()
    .raw()
    .toBuffer();
}

const work = new URL("../work/", import.meta.url);
await mkdir(work, { recursive: true });
for (const side of SIDES) {
  const pictures = await Promise.all(names.map((name) => rasterize(name, side)));
  await writeFile(new URL(`icons-${side}.rgba`, work), Buffer.concat(pictures));
  process.stdout.write(`${names.length} icons at ${side} x ${side}\n`);
}
