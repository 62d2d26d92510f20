/** Leaves of an answer and of a log line only what must be the same each time. */
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import sharp from "sharp";
import type { RawAnswer } from "./request.js";

export interface Answer {
  readonly status: number;
  /** Where they differ from {@link USUAL_HEADERS}; null for one that is absent. */
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

/** What of an answer can be the same each time. */
export interface Kept {
  readonly hasSeed: boolean;
  readonly hasPixels: boolean;
}

const SEED_KEYS = new Set(["seed", "seeds"]);
const CHANGING_KEYS = new Set(
  "at checkpointHash created device nextTryAt pid precision since uptimeSeconds version".split(" "),
);
/** Null or a number, as the moment has it. */
const MOMENTARY_KEYS = new Set("beatAgeMs perSecond rssBytes secondsLeft stepAgeMs".split(" "));
const MOMENTARY_SAMPLE = /^dalle_sidecar_(?:beat_age|step_age|resident_memory)/;
const CHANGING_HEADERS = new Set(
  "connection content-length date keep-alive x-request-id".split(" "),
);
/** Those of nearly every answer, to keep the recording short. */
const USUAL_HEADERS: Readonly<Record<string, string>> = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "x-request-id,retry-after",
  "content-type": "application/json; charset=utf-8",
  ...Object.fromEntries([...CHANGING_HEADERS].map((name) => [name, "*"])),
};
const SECONDS_LEFT = /(?<=(?:The next try is in|refused for another) )\d+/;
/** The base64 of a JPEG, a PNG or a WebP, by its first bytes. */
const IMAGE = /(?<=")(?:\/9j\/|iVBOR|UklGR)[^"]+/g;

export async function normalizeAnswer(answer: RawAnswer, kept: Kept): Promise<Answer> {
  const { status, headers, text } = answer;
  const absent = Object.keys(USUAL_HEADERS).map((name) => [name, null] as const);
  const received = Object.entries(headers).map(
    ([name, value]) => [name, CHANGING_HEADERS.has(name) ? "*" : value] as const,
  );
  const shown = Object.entries<unknown>(Object.fromEntries([...absent, ...received]));
  return {
    status,
    headers: Object.fromEntries(shown.filter(([name, value]) => value !== USUAL_HEADERS[name])),
    body: text.startsWith("# HELP") ? normalizeMetrics(text) : await normalizeBody(text, kept),
  };
}

async function normalizeBody(text: string, { hasSeed, hasPixels }: Kept): Promise<unknown> {
  if (!text.startsWith("{")) return text;
  let shown = text;
  for (const [base64] of text.matchAll(IMAGE)) {
    shown = shown.replaceAll(base64, await describeImage(base64, hasPixels));
  }
  return JSON.parse(shown, (key, value: unknown) => {
    if (MOMENTARY_KEYS.has(key)) return "<number or null>";
    const isChanging = CHANGING_KEYS.has(key) || (!hasSeed && SEED_KEYS.has(key));
    if (isChanging && value !== null) return `<${typeof value}>`;
    return typeof value === "string" ? value.replace(SECONDS_LEFT, "#") : value;
  });
}

async function describeImage(base64: string, hasPixels: boolean): Promise<string> {
  const image = sharp(Buffer.from(base64, "base64"));
  const { format, width, height } = await image.metadata();
  const pixels = createHash("sha256").update(await image.raw().toBuffer());
  return `${format} ${width}x${height}${hasPixels ? ` sha256 ${pixels.digest("hex")}` : ""}`;
}

/** Each metric's help, type, labels and limits of buckets; of those that Node brings no labels. */
function normalizeMetrics(page: string): Record<string, string> {
  const families = page.split("# HELP ").slice(1);
  return Object.fromEntries(
    families.map((family) => {
      const [, name = "", help = "", type = "", samples = ""] =
        /^(\S+) (.*)\n# TYPE \S+ (.*)\n([^]*)/.exec(family) ?? [];
      const own = samples.split("\n").filter((line) => line.startsWith("dalle_"));
      const labels = own.filter((line) => !MOMENTARY_SAMPLE.test(line)).flatMap(listLabels);
      return [name, [...new Set([help, type, ...labels])].join(" | ")];
    }),
  );
}

/** The labels of a sample, the limit of a bucket apart from the others. */
function listLabels(sample: string): string[] {
  const [, labels = "without labels"] = /\{(.*)\}/.exec(sample) ?? [];
  return labels.replace(/(?<=version=")[^"]*/, "*").split(/(?<=^le="[^"]*"),/);
}

/** The kinds of lines in a log: level, message and keys, each kind once. */
export function listKinds(lines: readonly Readonly<Record<string, unknown>>[]): string[] {
  const kinds = lines.map(({ level, msg, ...rest }) => {
    const message = String(msg)
      .replaceAll(new RegExp(`${tmpdir()}/[^\\s"',]+`, "g"), "<path>")
      .replaceAll(/\d+(?:\.\d+)?/g, "#")
      .slice(0, 200);
    return `${String(level)}: ${message} {${Object.keys(rest).sort().join(", ")}}`;
  });
  return [...new Set(kinds)].sort();
}
