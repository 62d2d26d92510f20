"""Every golden checkpoint against upstream's answers, as numbers; `page.py` makes a table of them.

One compiled program a checkpoint: compiling is what these tiny models cost.
"""

from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from support.goldens import UPSTREAM, VQGAN_FOLDER, apply, golden, model_folder, steps_to_compare

from sidecar.checkpoint.folder import open_checkpoint
from sidecar.checkpoint.weights import Params, load_dallebart
from sidecar.engine.slots import Prompt, decode_chunk, empty_batch, fill_slot
from sidecar.model.config import ModelConfig
from sidecar.model.dallebart import DalleBart
from sidecar.model.sampling import SlotSampling

FLOAT32, FLOAT64 = jnp.dtype("float32"), jnp.dtype("float64")
# The least optimising compiler's code is as right, and there three times sooner.
COMPILER_OPTIONS = {"xla_backend_optimization_level": 0}
NAMES = sorted(folder.name for folder in (UPSTREAM / "models").iterdir())
# Guidance, golden tokens, and the margin below which two implementations may differ.
GREEDY = ((1.0, "greedy", 1e-3), (10.0, "greedy_cfg10", 5e-3))
# Rounding its weights once more moves their logits beyond 1e-4, in any precision: see
# `measure_rounding`.
ILL_CONDITIONED = ("variant-cosine-attention", "variant-ln-swinv2")


class Answers(NamedTuple):
    """What our model says to a golden file's questions.

    The logits have two halves of rows: with our own encoder output, then with upstream's.
    """

    encoder: jax.Array
    logits: jax.Array
    cached_logits: jax.Array
    greedy: tuple[jax.Array, ...]


@dataclass(frozen=True)
class Deviation:
    """Largest absolute differences, and greedy steps that were compared and equal, by guidance."""

    name: str
    encoder: float
    logits: float
    cached_logits: float
    decoder_logits: float
    """As `logits`, the decoder given upstream's encoder output."""
    decoder_cached_logits: float
    compared: tuple[int, ...]
    equal: tuple[int, ...]
    same_tokens: float
    """Share of all greedy tokens that are equal, near ties or not."""
    same_choices: float
    """Share of the teacher-forced positions with the same highest logit."""


@dataclass(frozen=True)
class Rounding:
    """How far float32 is from float64, and what one more rounding of the weights does."""

    name: str
    upstream_encoder: float
    upstream_logits: float
    our_encoder: float
    our_logits: float
    rounded_logits: float
    """Largest change of float64 logits, of four draws, when each weight moves by up to 2^-24."""


@cache
def answers_of(name: str) -> dict[str, jax.Array]:
    """Upstream's answers for a checkpoint."""
    # The same weights under other names: what the smaller file lacks is in the larger.
    return golden("mini-scan") | golden(name) if name == "mini-unrolled" else golden(name)


@cache
def measure(name: str, dtype: str = "float32") -> Deviation:
    """Load a golden checkpoint in `dtype` and compare it with its golden answers."""
    model, params = load(name, jnp.dtype(dtype))
    want = answers_of(name)
    program = jax.jit(partial(answer, model, 128), compiler_options=COMPILER_OPTIONS)
    answers = program(params, want)
    ours, upstreams = np.split(np.asarray(answers.logits, np.float32), 2)
    our_cached, upstreams_cached = np.split(np.asarray(answers.cached_logits, np.float32), 2)
    counts = [
        _compare(want, field, near_tie, tokens)
        for (_, field, near_tie), tokens in zip(GREEDY, answers.greedy, strict=True)
    ]
    return Deviation(
        name,
        encoder=_largest(answers.encoder, want["encoder_hidden"]),
        logits=_largest(ours, want["logits"]),
        cached_logits=_largest(our_cached, want["logits_cached"]),
        decoder_logits=_largest(upstreams, want["logits"]),
        decoder_cached_logits=_largest(upstreams_cached, want["logits_cached"]),
        compared=tuple(compared for compared, _, _ in counts),
        equal=tuple(equal for _, equal, _ in counts),
        same_tokens=float(np.mean([same for _, _, same in counts])),
        same_choices=float((ours.argmax(-1) == want["logits"].argmax(-1)).mean()),
    )


@cache
def measure_rounding(name: str) -> Rounding:
    """Compare upstream's float32 and ours with the same weights in float64."""
    want = answers_of(name)
    questions = [want[key] for key in ("input_ids", "attention_mask", "decoder_input_ids")]
    encoder, logits = (np.asarray(answer) for answer in read(*load(name, FLOAT32), *questions))
    with jax.enable_x64(True):
        model, params = load(name, FLOAT64)
        run = jax.jit(partial(read, model), compiler_options=COMPILER_OPTIONS)
        true_encoder, true_logits = run(params, *questions)
        moved = [run(_round_weights(params, seed), *questions)[1] for seed in range(4)]
        return Rounding(
            name,
            upstream_encoder=_largest(true_encoder, want["encoder_hidden"]),
            upstream_logits=_largest(true_logits, want["logits"]),
            our_encoder=_largest(true_encoder, encoder),
            our_logits=_largest(true_logits, logits),
            rounded_logits=max(_largest(one, true_logits) for one in moved),
        )


def load(name: str, dtype: jnp.dtype) -> tuple[DalleBart, Params]:
    """A golden checkpoint's model and parameters."""
    found = open_checkpoint(model_folder(name), VQGAN_FOLDER)
    params, _ = load_dallebart(found.folder, found.config, dtype)
    return DalleBart(found.config, dtype), params


def read(
    model: DalleBart, params: Params, ids: jax.Array, mask: jax.Array, decoder_ids: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Encoder output and teacher-forced logits."""
    encoder = apply(model, params, ids, mask, method=DalleBart.encode)
    return encoder, decode(model, params, encoder, mask, decoder_ids)


def decode(
    model: DalleBart, params: Params, encoder: jax.Array, mask: jax.Array, decoder_ids: jax.Array
) -> jax.Array:
    """Logits of a whole sequence from a given encoder output."""
    cross = apply(model, params, encoder, method=DalleBart.cross_cache)

    def head(module: DalleBart) -> jax.Array:
        return module.lm_head(module.decoder(decoder_ids, cross, mask.astype(bool)))

    return apply(model, params, method=head)


def answer(
    model: DalleBart, codebook_size: int, params: Params, want: dict[str, jax.Array]
) -> Answers:
    """All answers in one program."""
    ids = jnp.concatenate([want["input_ids"], want["input_ids_uncond"]])
    mask = jnp.concatenate([want["attention_mask"], want["attention_mask_uncond"]])
    encoder = apply(model, params, ids, mask, method=DalleBart.encode)
    cross = apply(model, params, encoder, method=DalleBart.cross_cache)

    def both(rows: int) -> tuple[jax.Array, jax.Array, jax.Array]:
        upstreams = want["encoder_hidden"][:rows].astype(model.dtype)
        tokens = want["decoder_input_ids"][:rows]
        return (
            jnp.concatenate([encoder[:rows], upstreams]),
            jnp.concatenate([mask[:rows], mask[:rows]]),
            jnp.concatenate([tokens, tokens]),
        )

    logits = decode(model, params, *both(len(want["logits"])))
    cached = decode_step_by_step(model, params, *both(len(want["logits_cached"])))

    def prompt(row: int) -> Prompt:
        return Prompt(jax.tree.map(lambda all_rows: all_rows[row], cross), mask[row].astype(bool))

    prompts = len(want["greedy"])
    batch = empty_batch(model.config, prompts * len(GREEDY), prompt(-1))
    for slot in range(len(batch.positions)):
        scale = jnp.float32(GREEDY[slot // prompts][0])
        settings = SlotSampling(scale, jnp.float32(1), jnp.int32(1), jnp.float32(1))
        row = prompt(slot % prompts)
        batch = fill_slot(batch, jnp.int32(slot), row, jnp.uint32(0), settings)
    slots, length = batch.tokens.shape
    batch = decode_chunk(model, codebook_size, slots, length, params, batch)
    return Answers(encoder[:-1], logits, cached, tuple(jnp.split(batch.tokens, len(GREEDY))))


def decode_step_by_step(
    model: DalleBart, params: Params, encoder: jax.Array, mask: jax.Array, decoder_ids: jax.Array
) -> jax.Array:
    """As `decode`, one token at a time through the cache."""
    rows, length = decoder_ids.shape
    cross = apply(model, params, encoder, method=DalleBart.cross_cache)

    def step(past: object, place: jax.Array) -> tuple[object, jax.Array]:
        logits, past = model.apply(
            {"params": params}, decoder_ids[:, place], place.repeat(rows), past, cross,
            mask.astype(bool), method=DalleBart.decode_step,
        )  # fmt: skip
        return past, logits

    _, logits = jax.lax.scan(step, empty_past(model.config, rows, model.dtype), jnp.arange(length))
    return logits.swapaxes(0, 1)


def empty_past(config: ModelConfig, rows: int, dtype: jnp.dtype) -> tuple:
    """A self-attention cache with nothing in it."""
    heads = config.decoder_attention_heads
    zeros = jnp.zeros((rows, heads, config.image_length, config.d_model // heads), dtype)
    return tuple((zeros, zeros) for _ in range(config.decoder_layers))


def _round_weights(params: Params, seed: int) -> Params:
    random = np.random.default_rng(seed)
    half_ulp = 2.0**-24
    return jax.tree.map(lambda w: w * (1 + random.uniform(-half_ulp, half_ulp, w.shape)), params)


def _compare(
    want: dict[str, jax.Array], name: str, near_tie: float, ours: jax.Array
) -> tuple[int, int, float]:
    """How many greedy steps upstream decides clearly, how many are ours too; share of all."""
    # Upstream's answer without the ids outside the codebook, where those could win.
    field = f"{name}_sliced" if f"{name}_sliced" in want else name
    margins = want.get(f"{field}_margin", want[f"{name}_margin"])
    compared = equal = 0
    for row, tokens in enumerate(ours):
        steps = steps_to_compare(margins[row], near_tie)
        compared += steps
        equal += int((tokens[:steps] == want[field][row][:steps]).sum())
    return compared, equal, float((ours == want[field]).mean())


def _largest(ours: jax.Array | np.ndarray, want: jax.Array | np.ndarray) -> float:
    return float(np.abs(np.asarray(ours, np.float64) - np.asarray(want, np.float64)).max())
