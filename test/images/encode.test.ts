import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { IMAGE_FORMATS, createEncoder, encodeImage } from "../../src/images/encode.js";

const WIDTH = 24;
const HEIGHT = 16;

/** Smooth colours, so that a lossy format stays near them. */
function paint(): Uint8Array {
  const rgb = new Uint8Array(WIDTH * HEIGHT * 3);
  for (let i = 0; i < WIDTH * HEIGHT; i += 1) {
    rgb.set([(i % WIDTH) * 10, Math.floor(i / WIDTH) * 15, 128], i * 3);
  }
  return rgb;
}

const image = { width: WIDTH, height: HEIGHT, rgb: paint() };

describe("encoding", () => {
  test.each(IMAGE_FORMATS)("%s keeps size, orientation and colours", async (format) => {
    const { bytes } = await encodeImage(image, { format, quality: null });
    const decoded = await sharp(bytes).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    const errors = decoded.data.map((value, i) => Math.abs(value - (image.rgb[i] ?? 0)));
    expect(decoded.info).toMatchObject({ width: WIDTH, height: HEIGHT, channels: 3 });
    expect(Math.max(...errors)).toBeLessThanOrEqual(format === "png" ? 0 : 24);
    expect((await sharp(bytes).metadata()).format).toBe(format);
  });

  test("JPEG keeps the full resolution of colours", async () => {
    const { bytes } = await encodeImage(image, { format: "jpeg", quality: null });
    expect((await sharp(bytes).metadata()).chromaSubsampling).toBe("4:4:4");
  });

  test.each(IMAGE_FORMATS)("%s gives the same bytes for the same pixels", async (format) => {
    const encoder = createEncoder(2);
    const options = { format, quality: null };
    const all = await Promise.all(Array.from({ length: 8 }, () => encoder.encode(image, options)));
    expect(new Set(all.map(({ bytes }) => bytes.toString("base64"))).size).toBe(1);
  });

  test.each(["jpeg", "webp"] as const)("%s is smaller at a lower quality", async (format) => {
    const [low, high] = await Promise.all([
      encodeImage(image, { format, quality: 1 }),
      encodeImage(image, { format, quality: 100 }),
    ]);
    expect(low.bytes.length).toBeLessThan(high.bytes.length);
  });

  test("pixels of another size are refused with both numbers", async () => {
    const wrong = { ...image, rgb: new Uint8Array(5) };
    const options = { format: "png", quality: null } as const;
    await expect(encodeImage(wrong, options)).rejects.toThrow("24x16 has 1152 bytes, got 5");
  });
});
