/** From raw pixels to JPEG, PNG or WebP. */
import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import sharp, { type Sharp } from "sharp";
import { limitConcurrency } from "./concurrency.js";

export const IMAGE_FORMATS = ["jpeg", "png", "webp"] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** High enough that the text-book artefacts of JPEG cannot be seen at 256 x 256. */
const DEFAULT_QUALITY = 95;

/** Pixels as the sidecar sends them: rows from the top, 3 bytes (R, G, B) a pixel, no padding. */
interface RawImage {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

export interface EncodeOptions {
  readonly format: ImageFormat;
  /** 1..100 for JPEG and WEBP, without effect on PNG; null is 95. */
  readonly quality: number | null;
}

export interface EncodedImage {
  readonly bytes: Buffer;
  readonly width: number;
  readonly height: number;
  /** SHA-256 of the raw RGB bytes, hexadecimal: equal for equal pixels, whatever the format. */
  readonly pixelDigest: string;
}

export interface Encoder {
  encode(image: RawImage, options: EncodeOptions): Promise<EncodedImage>;
}

/** Creates an encoder that works on at most `limit` images at the same time. */
export function createEncoder(limit = availableParallelism()): Encoder {
  const runLimited = limitConcurrency(limit);
  return { encode: (image, options) => runLimited(() => encodeImage(image, options)) };
}

/**
 * Encodes raw pixels. The same pixels and options always give the same bytes.
 *
 * @throws RangeError when `rgb` is not width x height x 3 bytes.
 */
export async function encodeImage(image: RawImage, options: EncodeOptions): Promise<EncodedImage> {
  const { width, height, rgb } = image;
  if (rgb.byteLength !== width * height * 3) {
    throw new RangeError(
      `an RGB image of ${width}x${height} has ${width * height * 3} bytes, got ${rgb.byteLength}`,
    );
  }
  const source = sharp(rgb, { raw: { width, height, channels: 3 } });
  const bytes = await applyFormat(source, options).toBuffer();
  return { bytes, width, height, pixelDigest: createHash("sha256").update(rgb).digest("hex") };
}

function applyFormat(source: Sharp, { format, quality }: EncodeOptions): Sharp {
  const chosen = quality ?? DEFAULT_QUALITY;
  switch (format) {
    case "jpeg":
      return source.jpeg({ quality: chosen, chromaSubsampling: "4:4:4" });
    case "png":
      return source.png({ compressionLevel: 6 });
    case "webp":
      return source.webp({ quality: chosen });
  }
}
