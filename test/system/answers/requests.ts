/** The requests whose answers are recorded, as tables. */
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { ask, type Ask } from "./exchange.js";

const DALLE = "POST /dalle";
const IMAGES = "POST /v1/images/generations";
const MEGABYTE = 1024 * 1024;

const words = (text: string): string[] => text.split(" ");
const askAll = (method: string, paths: string) =>
  words(paths).map((path) => ask(`${method} ${path}`));

const PATHS =
  "/ /health_check /ready /v1/models /v1/models/dalle-custom /dalle /v1/images/generations /nothing";
const FORMS =
  "/models /models/dall-e-2 /images/generations /DALLE /dalle/ //health_check /ready?a=//b /%E0%A4%A /%0A%1B[31m /v1/models/DALL-E-3 /v1/models/gpt-4 /v1/models/dalle-mega /v1/models/a%0Ab http://example.org/ready";
const ORIGIN = { origin: "http://localhost:3000" };
const PREFLIGHT = {
  ...ORIGIN,
  "access-control-request-method": "POST",
  "access-control-request-headers": "content-type,bypass-tunnel-reminder",
};
const ROUTES = [
  ...words("GET HEAD POST PUT OPTIONS").flatMap((method) => askAll(method, PATHS)),
  ...askAll("GET", FORMS),
  ...words("DELETE PATCH TRACE BREW").map((method) => ask(`${method} /dalle`)),
  ...words("HEAD POST").map((method) => ask(`${method} /metrics`)),
  ask("GET /", "", { "x-long": "x".repeat(20_000) }),
  ask("GET /", "", { ...ORIGIN, "bypass-tunnel-reminder": "go" }),
  ask("GET /nothing", "", ORIGIN),
  ask("OPTIONS /dalle", "", PREFLIGHT),
  ask("OPTIONS /v1/images/generations", "", PREFLIGHT),
];

const GOOD = { text: "a", seed: 1 };
const GOOD_TEXT = JSON.stringify(GOOD);
const padded = (size: number) => GOOD_TEXT.padEnd(size);
const packed = (encoding: string, name: string, bytes: Uint8Array) =>
  ask(DALLE, name, { "content-encoding": encoding }, bytes);
const typed = (type: string) => ask(DALLE, GOOD, { "content-type": type });
const CHUNKED = { "transfer-encoding": "chunked" };

const BODIES = [
  ...words('{ null [] "a" 3 true').flatMap((body) => [ask(DALLE, body), ask(IMAGES, body)]),
  ask(DALLE, '{"text":"a","text":"b","seed":1,"__proto__":{"seed":2},"unknown":[1]}'),
  ask(DALLE, "(not UTF-8)", {}, Buffer.from('{"text":"\xff"}', "latin1")),
  ask(DALLE, `\ufeff${GOOD_TEXT}`),
  ...words("text/plain application/x-www-form-urlencoded nonsense").map(typed),
  typed("application/json; charset=utf-16"),
  ask(DALLE, GOOD, { "x-stainless-retry-count": "2" }),
  packed("gzip", GOOD_TEXT, gzipSync(GOOD_TEXT)),
  packed("deflate", GOOD_TEXT, deflateSync(GOOD_TEXT)),
  packed("br", GOOD_TEXT, brotliCompressSync(GOOD_TEXT)),
  packed("zstd", GOOD_TEXT, Buffer.from(GOOD_TEXT)),
  packed("gzip", "(not packed)", Buffer.from(GOOD_TEXT)),
  packed("gzip", "(over a megabyte)", gzipSync(padded(MEGABYTE + 1))),
  ask(DALLE, padded(MEGABYTE)),
  ask(DALLE, padded(MEGABYTE + 1)),
  ask(IMAGES, padded(MEGABYTE + 1)),
  ask(DALLE, GOOD, CHUNKED),
  ask(DALLE, padded(MEGABYTE + 1), CHUNKED),
];

const TEXTS = [
  ...[undefined, null, 3, [], {}, "", "  \n", "ein Füchslein 🦊 狐 نص", "a \ud83e b", "e\u0301"],
  ...["line\none\u0000\u202eend", "a".repeat(4000), "a".repeat(4001), "🦊".repeat(4000)],
];
const PLAYGROUND = { "bypass-tunnel-reminder": "go", "content-type": "text/plain", ...ORIGIN };
const PROMPTS = [
  ...TEXTS.map((text) => ask(DALLE, { text, seed: 1 })),
  ...TEXTS.map((prompt) => ask(IMAGES, { prompt, seed: 1 })),
  ...[GOOD, { text: "" }].map((body) => ask(DALLE, body, PLAYGROUND)),
  ask("POST //dalle?compat=playground", GOOD),
  ask("POST /dalle?compat=other", GOOD),
  ask("POST /images/generations", { prompt: "a", seed: 1 }),
  ask(IMAGES, { prompt: "a", seed: 1, output_format: "jpeg", output_compression: 1 }),
  ask(DALLE, { text: "a b", num_images: 3 }),
  ask(IMAGES, { prompt: "a b c", n: 3 }),
];

type Values = Readonly<Record<string, readonly unknown[]>>;
const SAMPLING: Values = {
  cond_scale: [0, 100, -0.1, 100.1, "3", null],
  guidance_scale: [5, 100.1, "3"],
  cfg_scale: [5, -1, []],
  temperature: [0.01, 10, 0, 10.1, "3", null],
  top_k: [0, 1, 16384, -1, 16385, 1.5, "3", null],
  top_p: [0.01, 1, 0, 1.1, "3", null],
};
const OF_DALLE: Values = {
  ...SAMPLING,
  num_images: [1, 2, 100, 0, 101, -1, 1.5, "3", null, [1]],
  seed: [0, 4294967295, -1, 4294967296, 1.5, "3", null, true],
};
const OF_IMAGES: Values = {
  cond_scale: [3, 100.1],
  n: [1, 2, 10, 0, 11, 1.5, "3", null],
  seed: [0, 4294967296, null],
  model: ["dall-e-2", "DALL-E-3", "gpt-image-1", "chatgpt-image-x", "dalle-custom", "gpt-4", "", 3],
  size: ["auto", "256x256", "1024x1792", "0x0", "big", 256, null],
  quality: ["hd", 3],
  style: ["vivid", 3],
  moderation: ["low", 3],
  user: ["user-1", 3],
  background: ["auto", "opaque", "transparent", "red"],
  response_format: ["b64_json", "url", "jpeg", 3, null],
  output_format: ["png", "jpeg", "webp", "gif", "PNG"],
  output_compression: [0, 100, -1, 101, "3"],
  stream: [false, true, "true"],
  partial_images: [0, 3, 4],
};
function vary(line: string, base: object, fields: Values): Ask[] {
  return Object.entries(fields).flatMap(([field, values]) =>
    values.map((value) => ask(line, { ...base, [field]: value })),
  );
}

export const METRICS = ask("GET /metrics");

/** Every route, every form of a body, every field at and beyond its bounds. */
export const EVERYTHING: readonly Ask[] = [
  ...ROUTES,
  ...BODIES,
  ...PROMPTS,
  ...vary(DALLE, GOOD, OF_DALLE),
  ...vary(IMAGES, { prompt: "a", seed: 1 }, OF_IMAGES),
  METRICS,
];

/** What everybody asks of a server that may not do its work. */
export const STATE: readonly Ask[] = [
  ...askAll("GET", "/ /health_check /ready"),
  ask("HEAD /ready"),
];
export const REFUSED: readonly Ask[] = [
  ...STATE,
  ask(DALLE, { text: "a" }),
  ...vary(DALLE, { text: "a" }, { top_k: [1_000_000, 1_000_001] }),
  ask(IMAGES, { prompt: "a" }),
];

/** Images of always the same seed. */
export const draw = (text: string, imageCount: number): Ask =>
  ask(DALLE, { text, num_images: imageCount, seed: 7 });

export const SAVED: readonly Ask[] = [
  draw("a red circle", 2),
  ...["../a/b: c?", "e\u0301 🦊 ".repeat(40), "con"].map((text) => draw(text, 1)),
  ask(IMAGES, { prompt: "a", n: 2, seed: 7, output_format: "webp" }),
  ask(DALLE, { text: "" }),
  ask("GET /health_check"),
];

export const NANO: readonly Ask[] = [
  ...askAll("GET", "/health_check /ready /v1/models /v1/models/dalle-nano"),
  ask(DALLE, { text: "two yellow hearts" }),
  ask(DALLE, { text: "a heart", seed: 1, cond_scale: 3, temperature: 0.5, top_k: 10, top_p: 0.9 }),
  ask(DALLE, { text: "a \ud83e 狐", seed: 1 }, PLAYGROUND),
  ...vary(DALLE, { text: "a" }, { cond_scale: [-1], temperature: [0], top_k: [1e6], top_p: [0] }),
  ...vary(IMAGES, { prompt: "a cat", seed: 1 }, { output_format: ["png", "jpeg", "webp"] }),
  ask(IMAGES, { prompt: "word ".repeat(80), seed: 1, n: 2 }),
  ask(IMAGES, { prompt: "a", model: "dalle-custom" }),
];
