/** Leaves of an answer and of a log line only what must be the same each time. */
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import sharp from "sharp";
import type { RawAnswer } from "./exchange.js";

export interface Answer {
  readonly status: number;
  /** Where they differ from {@link USUAL_HEADERS}; null for one that is absent. */
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: unknown;
  /** The files that the request left in the output folder. */
  readonly saved?: readonly string[];
}

/** What of an answer can be the same each time. */
export interface Kept {
  readonly hasSeed: boolean;
  readonly hasPixels: boolean;
}

const IMAGE_KEYS = new Set(["generatedImages", "generatedImgs", "b64_json"]);
const SEED_KEYS = new Set(["seed", "seeds"]);
const CHANGING_KEYS = new Set(
  "at checkpointHash created device nextTryAt pid precision since uptimeSeconds version".split(" "),
);
/** Null or a number, as the moment has it. */
const MOMENTARY_KEYS = new Set("beatAgeMs perSecond rssBytes secondsLeft stepAgeMs".split(" "));
const MOMENTARY_SAMPLE = /^dalle_sidecar_(?:beat_age|step_age|resident_memory)/;
const CHANGING_HEADERS = new Set(["connection", "date", "keep-alive", "x-request-id"]);
/** Those of nearly every answer, to keep the recording short. */
const USUAL_HEADERS: Readonly<Record<string, string>> = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "x-request-id,retry-after",
  connection: "*",
  "content-type": "application/json; charset=utf-8",
  date: "*",
  "keep-alive": "*",
  "x-request-id": "*",
};
/** Seconds that are left, and the two ways to say that a request is late: two timers, either may be first. */
const CHANGING_TEXT =
  /(?<=(?:The next try is in|refused for another) )\d+|The request was not finished within.*|The image was not made within.*/;

export async function normalizeAnswer(raw: RawAnswer, kept: Kept): Promise<Answer> {
  const text = raw.bytes.toString();
  const body = await normalizeBody(raw.headers["content-type"] ?? "", text, kept);
  const isWhole = text !== "" && (body === text || JSON.stringify(body) === text);
  const isChanging = (name: string) =>
    CHANGING_HEADERS.has(name) || (name === "content-length" && !isWhole && raw.status !== 204);
  const received: Readonly<Record<string, unknown>> = raw.headers;
  const headers = [...new Set([...Object.keys(USUAL_HEADERS), ...Object.keys(received)])]
    .sort()
    .map((name): [string, unknown] => [
      name,
      isChanging(name) && name in received ? "*" : (received[name] ?? null),
    ])
    .filter(([name, value]) => value !== USUAL_HEADERS[name]);
  return { status: raw.status, headers: Object.fromEntries(headers), body };
}

async function normalizeBody(type: string, text: string, kept: Kept): Promise<unknown> {
  if (type.includes("json") && text !== "") return normalizeValue(JSON.parse(text), "", kept);
  return text.startsWith("# HELP") ? normalizeMetrics(text) : text;
}

async function normalizeValue(value: unknown, key: string, kept: Kept): Promise<unknown> {
  if (Array.isArray(value)) {
    return Promise.all(value.map((element) => normalizeValue(element, key, kept)));
  }
  if (MOMENTARY_KEYS.has(key)) return "<number or null>";
  if (value !== null && CHANGING_KEYS.has(key)) return `<${typeof value}>`;
  if (SEED_KEYS.has(key) && !kept.hasSeed) return `<${typeof value}>`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(
      async ([name, own]) => [name, await normalizeValue(own, name, kept)] as const,
    );
    return Object.fromEntries(await Promise.all(entries));
  }
  if (typeof value !== "string") return value;
  return IMAGE_KEYS.has(key) ? describeImage(value, kept) : value.replace(CHANGING_TEXT, "#");
}

async function describeImage(base64: string, { hasPixels }: Kept): Promise<string> {
  const image = sharp(Buffer.from(base64, "base64"));
  const { format, width, height } = await image.metadata();
  const pixels = createHash("sha256").update(await image.raw().toBuffer());
  const digest = hasPixels ? ` sha256 ${pixels.digest("hex")}` : "";
  return `${format} ${width}x${height}${digest}`;
}

/** Each metric's type, help, labels and limits of buckets; of those that Node brings no labels. */
function normalizeMetrics(page: string): Record<string, string> {
  const families: Record<string, Set<string>> = {};
  let family = new Set<string>();
  for (const line of page.split("\n")) {
    const [, name = "", help = ""] = /^# HELP (\S+) (.*)$/.exec(line) ?? [];
    if (name !== "") families[name] = family = new Set([help]);
    else if (line.startsWith("# TYPE")) family.add(line.split(" ")[3] ?? "");
    else if (line.startsWith("dalle_") && !MOMENTARY_SAMPLE.test(line)) {
      const labels = line.slice(line.indexOf("{"), line.lastIndexOf("}") + 1);
      for (const part of labels.split(/(?<=^\{le="[^"]*"),/)) {
        const label = part.replace(/^\{|\}$/g, "").replace(/(?<=version=")[^"]*/, "*");
        family.add(label || "without labels");
      }
    }
  }
  return Object.fromEntries(
    Object.entries(families).map(([name, parts]) => [name, [...parts].join(" | ")]),
  );
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
