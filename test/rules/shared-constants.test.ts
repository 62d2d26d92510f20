/** The constants that both languages hold, compared by value. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { KNOWN_MODELS, type KnownModel } from "../../src/checkpoint/published.js";
import * as weightFiles from "../../src/checkpoint/weight-files.js";
import { OVERHEAD_BYTES } from "../../src/commands/models.js";
import { EXIT_PERMANENT } from "../../src/sidecar/failure.js";
import { HIGH_WATER_MARK } from "../../src/sidecar/link/transport.js";
import { RATE_WINDOW_MS } from "../../src/sidecar/watch/phase-progress.js";
import * as frames from "../../src/wire/frames.js";
import { CHANNELS, MAX_IMAGE_SIDE } from "../../src/wire/messages.js";
import { PYTHON, ROOT } from "../harness/paths.mjs";

/** Prints the constants that Python holds, under the names that they have here. */
const PROGRAM = `
import json
import jax.numpy as jnp
from bench.synthetic import CONFIGS
from sidecar import __version__, exit_codes
from sidecar.checkpoint import weight_files
from sidecar.checkpoint.memory_check import OVERHEAD_BYTES, count_bytes, count_parameters
from sidecar.connection import HIGH_WATER_MARK
from sidecar.hub.progress import RATE_WINDOW_S
from sidecar.model.config import ModelConfig
from sidecar.wire import frames, messages

def sizes(name):
    config, dtype = ModelConfig.from_json(CONFIGS[name]), jnp.dtype("float32")
    parameters, total = count_parameters(config), count_bytes(config, dtype, 1)
    cached = (total - OVERHEAD_BYTES) // dtype.itemsize - parameters
    return {"parameterCount": parameters, "cachedNumbersPerSlot": cached}

print(json.dumps({
    "version": __version__,
    "MAGIC": frames.MAGIC,
    "MAX_HEADER_BYTES": frames.MAX_HEADER_BYTES,
    "MAX_PAYLOAD_BYTES": frames.MAX_PAYLOAD_BYTES,
    "MAX_IMAGE_SIDE": messages.MAX_IMAGE_SIDE,
    "CHANNELS": messages.CHANNELS,
    "WEIGHTS_FILE": weight_files.WEIGHTS_FILE,
    "INDEX_FILE": weight_files.INDEX_FILE,
    "MAX_INDEX_BYTES": weight_files.MAX_INDEX_BYTES,
    "MAX_NAME_LENGTH": weight_files.MAX_NAME_LENGTH,
    "HIGH_WATER_MARK": HIGH_WATER_MARK,
    "OVERHEAD_BYTES": OVERHEAD_BYTES,
    "EXIT_PERMANENT": exit_codes.PERMANENT,
    "RATE_WINDOW_MS": RATE_WINDOW_S * 1000,
    "models": {"Mini": sizes("Mini"), "Mega": sizes("Mega"), "Mega_full": sizes("Mega")},
}))
`;

function sizesOf({ parameterCount, cachedNumbersPerSlot }: KnownModel) {
  return { parameterCount, cachedNumbersPerSlot };
}

test("every constant that both languages hold is the same in both", () => {
  const output = execFileSync(PYTHON, ["-c", PROGRAM], {
    cwd: ROOT,
    encoding: "utf8",
    env: { ...process.env, JAX_PLATFORMS: "cpu" },
  });
  const { MAGIC, MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES } = frames;
  const { WEIGHTS_FILE, INDEX_FILE, MAX_INDEX_BYTES, MAX_NAME_LENGTH } = weightFiles;
  const release = readFileSync(path.join(ROOT, "package.json"), "utf8");

  expect(JSON.parse(output)).toEqual({
    version: /"version": "(.+)"/.exec(release)?.[1],
    MAGIC,
    MAX_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_IMAGE_SIDE,
    CHANNELS,
    WEIGHTS_FILE,
    INDEX_FILE,
    MAX_INDEX_BYTES,
    MAX_NAME_LENGTH,
    HIGH_WATER_MARK,
    OVERHEAD_BYTES,
    EXIT_PERMANENT,
    RATE_WINDOW_MS,
    models: {
      Mini: sizesOf(KNOWN_MODELS.Mini),
      Mega: sizesOf(KNOWN_MODELS.Mega),
      Mega_full: sizesOf(KNOWN_MODELS.Mega_full),
    },
  });
});
