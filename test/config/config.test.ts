/** From flags and variables to a configuration, or to what is wrong with them. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { readCommand } from "../../src/config/config.js";
import { containing, matching } from "../support/matchers.js";
import { Machine, type Env } from "../support/machine.js";

const MINI_ADDRESS = "hf:dalle-mini/dalle-mini@c8e67bc58edda0333009fa358752ca2dca56bc40";

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});

const read = (argv: readonly string[], env: Env = {}) => machine.read(argv, env);

describe("defaults", () => {
  test("are those of the specification, with folders made absolute", () => {
    expect(read([])).toMatchObject({
      port: 8000,
      host: "0.0.0.0",
      outputDir: null,
      service: {
        version: "1.2.3",
        format: "jpeg",
        queueLimit: 500,
        requestTimeoutMs: 3_600_000,
      },
      sidecar: {
        config: {
          precision: "auto",
          cacheDir: path.join(machine.root, "home", ".cache", "dalle-server"),
        },
      },
      python: "python3",
      logLevel: "info",
    });
    expect(read(["--save_to_disk"]).outputDir).toBe(path.join(machine.root, "generations"));
  });

  test("the configuration cannot be changed afterwards", () => {
    const { sidecar, ...config } = read([]);
    for (const part of [config.service, sidecar, sidecar.limits.phaseBudgetMs]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  test("the Python of the set-up is used where there is one", async () => {
    const python = path.join(machine.packageRoot, ".venv", "bin", "python");
    await mkdir(path.dirname(python), { recursive: true });
    await writeFile(python, "");
    expect(read([]).python).toBe(python);
  });
});

describe("flags and variables", () => {
  const cases: readonly (readonly [string[], Env, object])[] = [
    [["--port", "9000"], {}, { port: 9000 }],
    [["--port=9000"], {}, { port: 9000 }],
    [["--port=1", "--port=2"], {}, { port: 2 }],
    [["--queue-limit", "7"], {}, { service: { queueLimit: 7 } }],
    [["--queue_limit", "7"], {}, { service: { queueLimit: 7 } }],
    [["--Img-Format=png"], {}, { service: { format: "png" } }],
    [["--img_format", "webp"], {}, { service: { format: "webp" } }],
    [["--request_timeout", "5"], {}, { service: { requestTimeoutMs: 5000 } }],
    [["--request_timeout", "2.5"], {}, { service: { requestTimeoutMs: 2500 } }],
    [["--restart-patience", "0.25"], {}, { service: { patienceMs: 250 } }],
    [["--prefetch", "0"], {}, { sidecar: { prefetch: 0 } }],
    [[], { DALLE_DEATH_LIMIT: "3" }, { service: { deathLimit: 3 } }],
    [
      ["--sidecar_transport", "TCP"],
      {},
      { sidecar: { transport: { kind: "tcp", host: "127.0.0.1" } } },
    ],
    [["--sidecar_host", "::1"], {}, { sidecar: { transport: { kind: "ipc", host: "::1" } } }],
    [["--cache_dir", "none"], {}, { sidecar: { config: { cacheDir: null } } }],
    [["--model_version", "NANO"], {}, { service: { modelVersion: "Nano" } }],
    [[], { DALLE_PORT: "9001" }, { port: 9001 }],
    [[], { DALLE_PORT: "" }, { port: 8000 }],
    [["--port", "9000"], { DALLE_PORT: "9001" }, { port: 9000 }],
    [[], { DALLE_MODEL_VERSION: "nano" }, { service: { modelVersion: "Nano" } }],
    [[], { DALLE_SIDECAR_TOKEN: "x", DALLE_SETUP_JAX: "cpu", DALLE_PYTHON: "p" }, { port: 8000 }],
    [[], { DALLE_SIDECAR_PYTHON: "/usr/bin/python9" }, { python: "/usr/bin/python9" }],
    [[], { PORT: "1", XDG_CACHE_HOME: "" }, { port: 8000 }],
  ];
  test.each(cases)("%j with %j", (argv, env, expected) => {
    expect(read(argv, env)).toMatchObject(expected);
  });

  test.each([["--output_dir", "a=b"], ["--output_dir=a=b"]])("%s %s names a folder", (...argv) => {
    const env = { DALLE_SAVE_TO_DISK: "Yes" };
    expect(read(argv, env).outputDir).toBe(path.join(machine.root, "a=b"));
  });

  test.each([
    ...["true", "YES", "y", "1", "T"].map((word) => [word, true] as const),
    ...["false", "No", "n", "0", "F"].map((word) => [word, false] as const),
  ])("--save_to_disk %s is %s", (word, expected) => {
    expect(read(["--save_to_disk", word]).outputDir !== null).toBe(expected);
  });

  test("a bare --save_to_disk is yes, before another flag too", () => {
    expect(read(["--save_to_disk"]).outputDir).not.toBeNull();
    const { outputDir, port } = read(["--save_to_disk", "--port", "1"]);
    expect([outputDir === null, port]).toEqual([false, 1]);
  });
});

describe("wrong settings", () => {
  const cases: readonly (readonly [string[], Env, string])[] = [
    [["--prot", "1"], {}, `unknown flag "--prot": did you mean --port?`],
    [["--img-fromat=png"], {}, "did you mean --img_format?"],
    [["--save-disk"], {}, "did you mean --save_to_disk?"],
    [["--zzzzzzzzzz"], {}, "--help all lists the valid ones"],
    [["--nope", "1"], {}, "--help all lists the valid ones"],
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
    const refusal = { code: "config_invalid", message: containing(message) };
    expect(() => read(argv, env)).toThrow(expect.objectContaining(refusal));
  });

  test("are all listed at once", () => {
    const readAll = () => read(["--port", "x", "--prot", "1"], { DALLE_SLOTS: "0" });
    expect(readAll).toThrow(/:\n(?: {2}- .*\n){3}\(/);
  });
});

describe("variables that are not settings", () => {
  const cases: readonly (readonly [string, Env, readonly RegExp[]])[] = [
    [
      "of another program",
      { DALLE_API_KEY: "x", DALLE_REVERSE_PROXY: "y" },
      [/not settings: DALLE_API_KEY, DALLE_REVERSE_PROXY$/],
    ],
    ["with a typing error", { DALLE_PROT: "1" }, [/DALLE_PROT \(did you mean DALLE_PORT\?\)/]],
    [
      "of a service called dalle-server",
      { DALLE_SERVER_SERVICE_HOST: "10.0.0.1", DALLE_SERVER_PORT: "tcp://10.0.0.1:8000" },
      [/service links .* in DALLE_SERVER_SERVICE_HOST, DALLE_SERVER_PORT; enableServiceLinks/],
    ],
    [
      "of a service called dalle",
      { DALLE_PORT: "tcp://10.0.0.1:80", DALLE_PORT_80_TCP_ADDR: "10.0.0.1" },
      [/DALLE_PORT, DALLE_PORT_80_TCP_ADDR/],
    ],
    [
      "of both kinds",
      { DALLE_X: "1", DALLE_SERVICE_PORT_HTTP: "80" },
      [/DALLE_X/, /DALLE_SERVICE_PORT_HTTP/],
    ],
    ["that are none at all", { DALLE_SIDECAR_TOKEN: "x", DALLE_PYTHON: "p", OTHER: "1" }, []],
  ];
  test.each(cases)(
    "%s are ignored with one warning a kind, and the settings hold",
    (_name, env, warnings) => {
      const config = read([], env);
      expect(config.warnings).toEqual(warnings.map((words) => matching(words)));
      expect(config.port).toBe(8000);
    },
  );
});

describe("paths", () => {
  test.each([
    [["--save_to_disk", "--output_dir", "~/pictures"], {}, "outputDir", "home/pictures"],
    [["--save_to_disk", "--output_dir", "pictures~"], {}, "outputDir", "pictures~"],
    [["--save_to_disk"], { DALLE_OUTPUT_DIR: "~" }, "outputDir", "home"],
    [["--sidecar_python", "~/bin/python"], {}, "python", "home/bin/python"],
    [["--sidecar_python", "bin/python"], {}, "python", "bin/python"],
  ] as const)("%j with %j: %s is %s", (argv, env, name, expected) => {
    expect(read([...argv], env)[name]).toBe(path.join(machine.root, expected));
  });

  test("~ in the variables of the caches is the home folder, as for the sidecar", () => {
    const { cacheDir } = read([], { XDG_CACHE_HOME: "~/caches" }).sidecar.config;
    expect(cacheDir).toBe(path.join(machine.root, "home", "caches", "dalle-server"));
  });

  test("a user without a home keeps no compiled programs, and only ~ is refused", () => {
    const at = {
      argv: [],
      env: {},
      cwd: machine.root,
      home: null,
      packageRoot: machine.packageRoot,
    };
    expect(readCommand(at)).toMatchObject({ config: { sidecar: { config: { cacheDir: null } } } });
    expect(readCommand({ ...at, argv: ["models"] })).toMatchObject({ action: "models" });
    expect(() => readCommand({ ...at, argv: ["--cache_dir", "~/x"] })).toThrow(
      "this user has none",
    );
  });
});

describe("sub-commands", () => {
  test.each([
    [["pull", "Mini"], MINI_ADDRESS],
    [["pull", "hf:me/mine"], "hf:me/mine"],
    [["pull", "--checkpoint", "hf:me/mine@v1"], "hf:me/mine@v1"],
  ])("%j is to fetch %s", (argv, checkpoint) => {
    expect(machine.run(argv)).toMatchObject({
      action: "pull",
      config: { sidecar: { config: { checkpoint } } },
    });
  });

  test("models is to list them, for as many slots as are set", () => {
    const { packageRoot, hub } = machine;
    const places = { packageRoot, hubCache: hub };
    expect(machine.run(["models", "--slots", "4"])).toEqual({ action: "models", places, slots: 4 });
  });

  test.each([
    [["--help"], "help"],
    [["-h"], "help"],
    [["--help", "all"], "help_all"],
    [["--help", "--prot", "1"], "help"],
    [["--version"], "version"],
  ])("%j is to print, whatever else is wrong", (argv, action) => {
    expect(machine.run(argv)).toEqual({ action, version: "1.2.3" });
  });
});
