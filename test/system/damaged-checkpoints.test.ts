/**
 * The built server with the real sidecar on damaged copies of the embedded checkpoint, one for each class of
 * damage; test/python/checkpoint/test_damaged.py has the other damages of each class, without a server.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, test, vi } from "vitest";
import { z } from "zod";
import { BuiltServer } from "../harness/built-server.mjs";
import { PYTHON, ROOT } from "../harness/paths.mjs";
import { fakeSidecar } from "../harness/sidecar-program.mjs";
import { START_LIMIT_MS } from "../harness/until.mjs";
import { containing } from "../support/matchers.js";

// Each case starts a Python with JAX: more than two at a time would only make them wait for each other.
vi.setConfig({ maxConcurrency: 2 });

const DAMAGE = path.join(ROOT, "test", "python", "support", "damage.py");
const NANO = path.join(ROOT, "checkpoints", "nano");
/** Enough for what is whole; a size that is only declared must not count. */
const MEMORY_LIMIT = `ulimit -d ${4 * 2 ** 20} || exit 1`;
const LIMIT = { timeout: 2 * START_LIMIT_MS };

const INVALID = "checkpoint_invalid";
const UNSUPPORTED = "config_unsupported";
const WEIGHTS = "flax_model.msgpack: ";
const CUT_LEAF = "model/decoder/layers/FlaxBartDecoderLayers/FlaxBartAttention_1/out_proj/kernel";
/** The damage, the code of the failure, and what its reason has to say: file, leaf or key, and what is wrong. */
const CASES = [
  ["weights-cut-short", INVALID, `${WEIGHTS}${CUT_LEAF}: cut short`],
  ["a-number-that-is-none", INVALID, `${WEIGHTS}lm_head/kernel holds NaN or infinity`],
  ["a-leaf-of-another-shape", INVALID, `${WEIGHTS}lm_head/kernel has shape (5105, 192)`],
  ["a-missing-leaf", INVALID, `${WEIGHTS}lm_head/kernel is missing`],
  ["a-leaf-too-many", INVALID, `${WEIGHTS}extra is not a parameter of this model`],
  ["a-huge-array", INVALID, `${WEIGHTS}lm_head/kernel: 0 bytes for shape (65536, 65536)`],
  ["maps-of-4-billion", INVALID, `${WEIGHTS}a/a/a/a/a/a/a/a: cut short`],
  ["a-config-without-a-key", UNSUPPORTED, "config.json: d_model is None, expected int"],
  ["a-config-of-another-family", UNSUPPORTED, "config.json: model_type is 't5', expected"],
  [
    "ids-beyond-the-table",
    INVALID,
    "the tokenizer has ids up to 100099, but model/encoder/embed_tokens",
  ],
  ["no-vqgan", "checkpoint_not_found", "no VQGAN: there is no config.json in vqgan"],
] as const;

const refusalSchema = z.looseObject({ error: z.looseObject({ message: z.string() }) });

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "dalle-damaged-"));
  await promisify(execFile)(PYTHON, [DAMAGE, NANO, folder]);
}, LIMIT.timeout);

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** No wait before a restart: were there one, it would come at once. */
function start(damage: string): Promise<BuiltServer> {
  const model = ["--checkpoint", path.join(folder, damage), "--cache_dir", "none"];
  return BuiltServer.start({
    program: fakeSidecar("--real"),
    flags: [...model, "--backoff_base", "0"],
    shellLimit: MEMORY_LIMIT,
  });
}

async function readRefusal(response: Response) {
  const { error } = refusalSchema.parse(await response.json());
  return { status: response.status, message: error.message };
}

test.concurrent.for(CASES)(
  "%s: given up for good after one start, with the reason",
  LIMIT,
  async ([damage, code, words], { expect, onTestFinished }) => {
    const server = await start(damage);
    onTestFinished(() => server.dispose());
    const { state, sidecar, reason } = await server.untilHealth(
      (health) => health.sidecar.lastFailure !== null,
      START_LIMIT_MS,
    );
    expect(state).toBe("failed");
    expect(sidecar).toMatchObject({ state, generation: 1, restarts: 0, pid: null });
    expect(sidecar).toMatchObject({ nextTryAt: null, failures: { [code]: 1 } });
    expect(sidecar.lastFailure).toMatchObject({ code, reason: containing(words) });
    expect(reason).toContain(words);
    const refusal = { status: 503, message: containing(words) };
    expect(await readRefusal(await fetch(`${server.url}/ready`))).toEqual(refusal);
    expect(await readRefusal(await server.post({ text: "a red circle" }))).toEqual(refusal);
    expect(server.orders.listRunning()).toEqual([]);
    expect(server.orders.listAll()).toHaveLength(1);
  },
);

test.concurrent(
  "what is whole is read within the same memory",
  LIMIT,
  async ({ expect, onTestFinished }) => {
    const server = await start("none");
    onTestFinished(() => server.dispose());
    const { sidecar } = await server.untilHealth(
      (health) => health.sidecar.phase?.name === "compile" || health.sidecar.lastFailure !== null,
      START_LIMIT_MS,
    );
    expect(sidecar.lastFailure).toBeNull();
  },
);
