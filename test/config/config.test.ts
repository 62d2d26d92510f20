import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readCommand, type Config } from "../../src/config/config.js";
import { countEdits } from "../../src/config/nearest.js";
import { FLAGS } from "../../src/config/flags.js";
import { AppError } from "../../src/errors.js";
import { containing } from "../support/matchers.js";

type Env = Record<string, string | undefined>;

const WEIGHTS = "flax_model.msgpack";
const MINI_ADDRESS = "hf:dalle-mini/dalle-mini@c8e67bc58edda0333009fa358752ca2dca56bc40";
const VQGAN = "dalle-mini/vqgan_imagenet_f16_16384";
const VQGAN_COMMIT = "e93a26e7707683d349bf5d5c41c5b0ef69b677a9";

/** A machine of its own: package, home and working folder, all in one temporary folder. */
let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "dalle-test-"));
  await addEmbedded("nano");
  await writeFile(path.join(root, "package", "package.json"), `{"version": "1.2.3"}`);
});
afterEach(() => rm(root, { recursive: true }));

function run(argv: readonly string[], env: Env = {}) {
  const packageRoot = path.join(root, "package");
  return readCommand({ argv, env, cwd: root, home: path.join(root, "home"), packageRoot });
}

function read(argv: readonly string[], env: Env = {}): Config {
  const command = run(argv, env);
  if (command.action === "print") throw new Error("expected a configuration");
  return command.config;
}

function readError(argv: readonly string[], env: Env = {}): AppError {
  try {
    read(argv, env);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error("expected the settings to be refused");
}

async function addEmbedded(name: string): Promise<string> {
  const folder = path.join(root, "package", "checkpoints", name);
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, WEIGHTS), "");
  return folder;
}

async function addSnapshot(
  hub: string,
  name: string,
  { commit = "abc123", files = ["config.json", "tokenizer.json", WEIGHTS] } = {},
): Promise<string> {
  const folder = path.join(hub, `models--${name.replace("/", "--")}`, "snapshots", commit);
  await mkdir(folder, { recursive: true });
  for (const file of files) await writeFile(path.join(folder, file), "");
  return folder;
}

describe("defaults", () => {
  test("are those of the specification, with folders made absolute", () => {
    expect(read([])).toMatchObject({
      version: "1.2.3",
      port: 8000,
      host: "0.0.0.0",
      saveToDisk: false,
      imgFormat: "JPEG",
      outputDir: path.join(root, "generations"),
      queueLimit: 500,
      requestTimeoutMs: 3_600_000,
      precision: "auto",
      python: "python3",
      cacheDir: path.join(root, "home", ".cache", "dalle-server"),
      logLevel: "info",
    });
  });

  test("the configuration cannot be changed afterwards", () => {
    expect(Object.isFrozen(read([]))).toBe(true);
  });

  test("the Python of the set-up is used where there is one", async () => {
    const python = path.join(root, "package", ".venv", "bin", "python");
    await mkdir(path.dirname(python), { recursive: true });
    await writeFile(python, "");
    expect(read([]).python).toBe(python);
  });
});

describe("flags and variables", () => {
  const cases: readonly (readonly [string[], Env, Partial<Config>])[] = [
    [["--port", "9000"], {}, { port: 9000 }],
    [["--port=9000"], {}, { port: 9000 }],
    [["--port=1", "--port=2"], {}, { port: 2 }],
    [["--queue-limit", "7"], {}, { queueLimit: 7 }],
    [["--queue_limit", "7"], {}, { queueLimit: 7 }],
    [["--Img-Format=png"], {}, { imgFormat: "PNG" }],
    [["--img_format", "webp"], {}, { imgFormat: "WEBP" }],
    [["--output_dir", "a=b"], {}, { outputDir: "a=b" }],
    [["--output_dir=a=b"], {}, { outputDir: "a=b" }],
    [["--request_timeout", "5"], {}, { requestTimeoutMs: 5000 }],
    [["--request_timeout", "2.5"], {}, { requestTimeoutMs: 2500 }],
    [["--restart-patience", "0.25"], {}, { patienceMs: 250 }],
    [["--prefetch", "0"], {}, { prefetch: 0 }],
    [[], { DALLE_DEATH_LIMIT: "3" }, { deathLimit: 3 }],
    [["--sidecar_transport", "TCP"], {}, { transport: { kind: "tcp", host: "127.0.0.1" } }],
    [["--sidecar_host", "::1"], {}, { transport: { kind: "ipc", host: "::1" } }],
    [["--cache_dir", "none"], {}, { cacheDir: null }],
    [["--model_version", "NANO"], {}, { modelVersion: "Nano" }],
    [[], { DALLE_PORT: "9001" }, { port: 9001 }],
    [[], { DALLE_PORT: "" }, { port: 8000 }],
    [["--port", "9000"], { DALLE_PORT: "9001" }, { port: 9000 }],
    [[], { DALLE_MODEL_VERSION: "nano" }, { modelVersion: "Nano" }],
    [[], { DALLE_SAVE_TO_DISK: "Yes" }, { saveToDisk: true }],
    [[], { DALLE_SIDECAR_TOKEN: "x", DALLE_SETUP_JAX: "cpu", DALLE_PYTHON: "p" }, { port: 8000 }],
    [[], { DALLE_SIDECAR_PYTHON: "/usr/bin/python9" }, { python: "/usr/bin/python9" }],
    [[], { PORT: "1", XDG_CACHE_HOME: "" }, { port: 8000 }],
  ];
  test.each(cases)("%j with %j", (argv, env, expected) => {
    const { outputDir, ...rest } = expected;
    const config = read(argv, env);
    expect(config).toMatchObject(rest);
    if (outputDir !== undefined) expect(config.outputDir).toBe(path.join(root, outputDir));
  });

  test.each([
    ...["true", "YES", "y", "1", "T"].map((word) => [word, true] as const),
    ...["false", "No", "n", "0", "F"].map((word) => [word, false] as const),
  ])("--save_to_disk %s is %s", (word, expected) => {
    expect(read(["--save_to_disk", word]).saveToDisk).toBe(expected);
  });

  test("a bare --save_to_disk is yes, before another flag too", () => {
    expect(read(["--save_to_disk"]).saveToDisk).toBe(true);
    expect(read(["--save_to_disk", "--port", "1"])).toMatchObject({ saveToDisk: true, port: 1 });
  });
});

describe("wrong settings", () => {
  const cases: readonly (readonly [string[], Env, string])[] = [
    [["--prot", "1"], {}, `unknown flag "--prot": did you mean --port?`],
    [["--img-fromat=png"], {}, "did you mean --img_format?"],
    [["--save-disk"], {}, "did you mean --save_to_disk?"],
    [["--zzzzzzzzzz"], {}, "--help lists the valid ones"],
    [
      [],
      { DALLE_PROT: "1" },
      `unknown environment variable "DALLE_PROT": did you mean DALLE_PORT?`,
    ],
    [["serve"], {}, `unexpected argument "serve"`],
    [["-p", "1"], {}, `unexpected argument "-p"`],
    [["--port"], {}, "--port needs a value: PORT"],
    [["--port", "--host", "x"], {}, "--port needs a value"],
    [["--port", "abc"], {}, `--port must be an integer from 0 to 65535; got "abc"`],
    [["--port", "-1"], {}, "an integer from 0 to 65535"],
    [["--port", "65536"], {}, "an integer from 0 to 65535"],
    [["--port", "80.5"], {}, "an integer from 0 to 65535"],
    [["--port", "1e3"], {}, "an integer from 0 to 65535"],
    [["--port="], {}, "an integer from 0 to 65535"],
    [["--host="], {}, "--host must be not empty"],
    [[], { DALLE_PORT: "x" }, `DALLE_PORT must be an integer from 0 to 65535; got "x"`],
    [
      ["--kill_grace", "-1"],
      {},
      `--kill_grace must be a number of seconds from 0 to 600; got "-1"`,
    ],
    [["--kill_grace", "1e2"], {}, "a number of seconds from 0 to 600"],
    [["--beat_interval", "0"], {}, "a number of seconds from 0.05 to 60"],
    [["--backoff_base", "31"], {}, `--backoff_base must be at most --backoff_cap; got "31"`],
    [["--backof_cap", "31"], {}, "did you mean --backoff_cap?"],
    [["--sidecar_transport", "udp"], {}, "one of ipc, tcp"],
    [["--sidecar_host", "localhost"], {}, "an IP address of this machine"],
    [["--sidecar_host", "0.0.0.0"], {}, "one IP address of this machine, not all of them"],
    [["--img_format", "gif"], {}, "one of JPEG, PNG, WEBP"],
    [["--save_to_disk", "maybe"], {}, "true, yes, y, 1, t or false, no, n, 0, f"],
    [["--model_version", "huge"], {}, "one of Nano, Mini, Mega, Mega_full"],
    [["--precision", "int8"], {}, "one of auto, float32, bfloat16"],
    [["--log_level", "loud"], {}, "one of trace, debug"],
    [["--queue_limit", "0"], {}, "an integer from 1 to 100000"],
    [["--checkpoint", "nowhere"], {}, "--checkpoint must be a folder on this machine"],
    [["--checkpoint", "hf:dalle-mini"], {}, "a folder, hf:owner/name or hf:owner/name@revision"],
    [["--vqgan", "hf:a/b@"], {}, "a folder, hf:owner/name or hf:owner/name@revision"],
    [["--vqgan", "nowhere"], {}, "--vqgan must be a folder"],
    [["pull"], {}, "pull needs the name of a model"],
    [["pull", "minni"], {}, "one of Nano, Mini, Mega, Mega_full"],
    [["pull", "mini", "more"], {}, `unexpected argument "more"`],
    [["models", "mini"], {}, `unexpected argument "mini"`],
  ];
  test.each(cases)("%j with %j is refused with what was expected", (argv, env, message) => {
    const error = readError(argv, env);
    expect(error.code).toBe("config_invalid");
    expect(error.message).toContain(message);
  });

  test("are all listed at once", () => {
    const { message } = readError(["--port", "x", "--prot", "1"], { DALLE_SLOTS: "0" });
    expect(message.match(/^ {2}- /gm)).toHaveLength(3);
  });
});

describe("the model", () => {
  test("is Nano when no weights of Mini are here, and the log is told why", () => {
    expect(read([])).toMatchObject({
      modelVersion: "Nano",
      modelNote: containing("not on this machine"),
      checkpoint: path.join(root, "package", "checkpoints", "nano"),
      vqgan: null,
    });
  });

  test("is Mini when its folder is in the package", async () => {
    const mini = await addEmbedded("mini");
    expect(read([])).toMatchObject({ modelVersion: "Mini", checkpoint: mini });
    expect(read(["--model_version", "nano"]).modelVersion).toBe("Nano");
  });

  const caches: readonly (readonly [string, Readonly<Record<string, string>>, string])[] = [
    ["home", {}, "home/.cache/huggingface/hub"],
    ["XDG_CACHE_HOME", { XDG_CACHE_HOME: "xdg" }, "xdg/huggingface/hub"],
    ["HF_HOME", { HF_HOME: "hf" }, "hf/hub"],
    ["HF_HUB_CACHE", { HF_HUB_CACHE: "cache" }, "cache"],
  ];
  test.each(caches)(
    "is Mini with its VQGAN when the Hugging Face cache has both: %s",
    async (_name, env, hub) => {
      const cache = path.join(root, hub);
      const at: Env = {};
      for (const [name, place] of Object.entries(env)) at[name] = path.join(root, place);
      const checkpoint = await addSnapshot(cache, "dalle-mini/dalle-mini");
      expect(read([], at).modelVersion).toBe("Nano");
      const vqgan = await addSnapshot(cache, "dalle-mini/vqgan_imagenet_f16_16384");
      expect(read([], at)).toMatchObject({ modelVersion: "Mini", checkpoint, vqgan });
    },
  );

  test("is not Mini when its folder has no weights", async () => {
    await mkdir(path.join(root, "package", "checkpoints", "mini"));
    expect(read([]).modelVersion).toBe("Nano");
  });

  test("is not Mini when the cache has only a part of it", async () => {
    const cache = path.join(root, "home/.cache/huggingface/hub");
    await addSnapshot(cache, VQGAN);
    await addSnapshot(cache, "dalle-mini/dalle-mini", { files: ["config.json", WEIGHTS] });
    expect(read([]).modelVersion).toBe("Nano");
  });

  test("is of the checked commit when the cache has several", async () => {
    const cache = path.join(root, "home/.cache/huggingface/hub");
    const vqgan = await addSnapshot(cache, VQGAN, { commit: VQGAN_COMMIT });
    await addSnapshot(cache, VQGAN, { commit: "0".repeat(40) });
    const checkpoint = await addSnapshot(cache, "dalle-mini/dalle-mini");
    expect(read([])).toMatchObject({ modelVersion: "Mini", checkpoint, vqgan });
  });

  test("is fetched when it is asked for and not here", () => {
    expect(read(["--model_version", "mini"])).toMatchObject({
      modelVersion: "Mini",
      modelNote: containing("what is missing of 1.75 GB is fetched first"),
      checkpoint: MINI_ADDRESS,
      vqgan: `hf:${VQGAN}@${VQGAN_COMMIT}`,
      precision: "auto",
    });
  });

  test("Mega is Mega_full in 16 bits unless told otherwise, and the log says so", () => {
    const mega = read(["--model_version", "Mega"]);
    const full = read(["--model_version", "Mega_full"]);
    expect(mega.checkpoint).toBe(full.checkpoint);
    expect([mega.precision, full.precision]).toEqual(["bfloat16", "auto"]);
    expect(mega.modelNote).toContain("Mega_full's weights are served, in 16 bits");
    expect(read(["--model_version", "Mega", "--precision", "float32"]).precision).toBe("float32");
  });

  test("of the hub is an address, with the VQGAN and the commits that are known", () => {
    expect(read(["--checkpoint", "hf:dalle-mini/dalle-mini"]).checkpoint).toBe(MINI_ADDRESS);
    expect(read(["--checkpoint", "hf:me/mine@v2"])).toMatchObject({
      modelVersion: "Custom",
      checkpoint: "hf:me/mine@v2",
      vqgan: `hf:${VQGAN}@${VQGAN_COMMIT}`,
    });
    expect(read(["--checkpoint", "hf:me/mine", "--vqgan", "hf:me/vqgan"]).vqgan).toBe(
      "hf:me/vqgan",
    );
  });

  test("may be a W&B artifact folder, whose name has a colon", async () => {
    const artifact = path.join(root, "artifacts", "mini-1:v0");
    await mkdir(artifact, { recursive: true });
    expect(read(["--checkpoint", "artifacts/mini-1:v0"])).toMatchObject({
      checkpoint: artifact,
      vqgan: null,
    });
  });

  test("has to be given when the package has none", async () => {
    await rm(path.join(root, "package", "checkpoints"), { recursive: true });
    expect(readError([]).message).toContain(
      "no model is on this machine: pass --checkpoint FOLDER, or --model_version Mini",
    );
  });

  test("is the folder that was given, under the name that was given", async () => {
    const mine = path.join(root, "mine");
    await mkdir(mine);
    expect(read(["--checkpoint", "mine"])).toMatchObject({
      modelVersion: "Custom",
      checkpoint: mine,
    });
    expect(
      read(["--checkpoint", mine, "--model_version", "mega_full", "--vqgan", "mine"]),
    ).toMatchObject({
      modelVersion: "Mega_full",
      checkpoint: mine,
      vqgan: mine,
      modelNote: null,
    });
  });
});

describe("sub-commands", () => {
  test.each([
    [["pull", "Mini"], MINI_ADDRESS],
    [["pull", "hf:me/mine"], "hf:me/mine"],
    [["pull", "--checkpoint", "hf:me/mine@v1"], "hf:me/mine@v1"],
  ])("%j is to fetch %s", (argv, checkpoint) => {
    expect(run(argv)).toMatchObject({ action: "pull", config: { checkpoint } });
  });

  test("models lists every version with its size, its memory and where it is", async () => {
    const mini = await addSnapshot(
      path.join(root, "home/.cache/huggingface/hub"),
      "dalle-mini/dalle-mini",
    );
    await addSnapshot(path.join(root, "home/.cache/huggingface/hub"), VQGAN);
    const command = run(["models"]);
    const lines = command.action === "print" ? command.text.split("\n") : [];
    const [header, ...rows] = lines.slice(0, 5).map((line) => line.split(/ {2,}/));
    expect(header).toEqual(["model", "to fetch", "memory (8 slots)", "where"]);
    expect(rows).toEqual([
      ["Nano", "-", "under 1 GB", path.join(root, "package", "checkpoints", "nano")],
      ["Mini", "-", "2.9 GB in float32, 1.7 GB in bfloat16", `${mini} (0.0 GB)`],
      ["Mega", "10.7 GB", "6.8 GB in bfloat16", "not here (dalle-mini/dalle-mega)"],
      [
        "Mega_full",
        "10.7 GB",
        "13.0 GB in float32, 6.8 GB in bfloat16",
        "not here (dalle-mini/dalle-mega)",
      ],
    ]);
  });
});

describe("texts", () => {
  test("--help names every flag with default and variable, and wins over wrong settings", () => {
    const command = run(["--help", "--prot", "1"]);
    const text = command.action === "print" ? command.text : "";
    for (const { name } of FLAGS) {
      expect(text).toContain(`--${name} `);
      expect(text).toContain(`variable: DALLE_${name.toUpperCase()}\n`);
    }
    expect(text).toContain("default: 8000");
    expect(text).toContain("default: Mini if its weights are on this machine, else Nano");
  });

  test("--version prints the version", () => {
    expect(run(["--version"])).toEqual({ action: "print", text: "1.2.3\n" });
  });
});

describe("the distance between words", () => {
  test.each([
    ["", "", 0],
    ["port", "port", 0],
    ["prot", "port", 2],
    ["por", "port", 1],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
  ])("%j to %j is %i", (from, to, edits) => {
    expect(countEdits(from, to)).toBe(edits);
  });
});
