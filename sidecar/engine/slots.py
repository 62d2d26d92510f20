"""The device side of the engine: the batch of slots and the programs that fill and advance it.

A slot is a pair of rows, conditional and unconditional, at its own position, with its own prompt,
seed and settings. Pure functions over arrays; who occupies a slot is the engine's to know. Shapes:
S slots, R = 2S rows, L image tokens, T text tokens, H heads, C head width, V logits.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, UInt8, UInt32

from sidecar.checkpoint.weights import Params
from sidecar.model.config import ModelConfig
from sidecar.model.dallebart import DalleBart
from sidecar.model.sampling import SlotSampling, sample
from sidecar.model.vqgan_decoder import VQGANDecoder, to_pixels


class SlotBatch(NamedTuple):
    """Everything about S slots that lives on the device; every array leads with the slot axis."""

    positions: Int[Array, "S"]
    """Tokens drawn so far; L when the image is complete."""
    tokens: Int[Array, "S L"]
    seeds: Key[Array, "S"]
    settings: SlotSampling
    sound: Bool[Array, "S"]
    """Whether all logits of the task so far were finite and not all alike."""
    past: PyTree[Float[Array, "S 2 H L C"]]
    """Self-attention cache, a (keys, values) pair a layer."""
    cross: PyTree[Float[Array, "S 2 H T C"]]
    """Cross-attention cache; the unconditional half is the same in every slot and never changes."""
    cross_mask: Bool[Array, "S 2 T"]


class Prompt(NamedTuple):
    """What the decoder needs of a prompt, computed once however many images it gets."""

    cross: PyTree[Float[Array, "H T C"]]
    mask: Bool[Array, "T"]


def prefill(
    model: DalleBart, params: Params, ids: Int[Array, "T"], mask: Int[Array, "T"]
) -> Prompt:
    """Encode a prompt as far as the decoder's cross-attention keys and values."""
    variables = {"params": params}
    hidden = model.apply(variables, ids[None], mask[None], method=DalleBart.encode)
    cross = model.apply(variables, hidden, method=DalleBart.cross_cache)
    return Prompt(jax.tree.map(lambda rows: rows[0], cross), mask.astype(bool))


def empty_batch(config: ModelConfig, slots: int, unconditional: Prompt) -> SlotBatch:
    """S free slots; a free slot counts as complete, so it is advanced over but never moves."""
    head_width = config.d_model // config.decoder_attention_heads
    past_shape = (slots, 2, config.decoder_attention_heads, config.image_length, head_width)

    def repeat(rows: Array) -> Array:
        return jnp.broadcast_to(rows, (slots, 2, *rows.shape))

    return SlotBatch(
        positions=jnp.full(slots, config.image_length, jnp.int32),
        tokens=jnp.zeros((slots, config.image_length), jnp.int32),
        seeds=jax.vmap(jax.random.key)(jnp.zeros(slots, jnp.uint32)),
        settings=SlotSampling(
            cond_scale=jnp.ones(slots),
            temperature=jnp.ones(slots),
            top_k=jnp.ones(slots, jnp.int32),
            top_p=jnp.ones(slots),
        ),
        sound=jnp.ones(slots, bool),
        past=jax.tree.map(lambda rows: jnp.zeros(past_shape, rows.dtype), unconditional.cross),
        cross=jax.tree.map(repeat, unconditional.cross),
        cross_mask=repeat(unconditional.mask),
    )


def fill_slot(
    batch: SlotBatch,
    slot: Int[Array, ""],
    prompt: Prompt,
    seed: UInt32[Array, ""],
    settings: SlotSampling,
) -> SlotBatch:
    """`batch` with a new task at position 0 of `slot`; what the last task left is never read."""
    return batch._replace(
        positions=batch.positions.at[slot].set(0),
        seeds=batch.seeds.at[slot].set(jax.random.key(seed)),
        sound=batch.sound.at[slot].set(True),
        settings=jax.tree.map(lambda all_, one: all_.at[slot].set(one), batch.settings, settings),
        cross=jax.tree.map(lambda all_, one: all_.at[slot, 0].set(one), batch.cross, prompt.cross),
        cross_mask=batch.cross_mask.at[slot, 0].set(prompt.mask),
    )


def empty_slot(batch: SlotBatch, slot: Int[Array, ""]) -> SlotBatch:
    """`batch` with `slot` free again, as `empty_batch` makes it: it asks for nothing.

    What a free slot asked of the sampler would be done for it in every chunk of its neighbours.
    """
    return batch._replace(
        positions=batch.positions.at[slot].set(batch.tokens.shape[1]),
        settings=jax.tree.map(lambda all_: all_.at[slot].set(1), batch.settings),
    )


def decode_chunk(
    model: DalleBart,
    codebook_size: int,
    used: int,
    steps: int,
    params: Params,
    batch: SlotBatch,
) -> SlotBatch:
    """Draw up to `steps` more tokens in each of the first `used` slots.

    A slot's tokens depend on its own prompt, seed, settings and position only. Ids outside the
    codebook are never drawn: one of them would turn the whole image to NaN.
    """
    config = model.config

    def step(part: SlotBatch, _: None) -> tuple[SlotBatch, None]:
        places = jnp.minimum(part.positions, config.image_length - 1)
        previous = jnp.take_along_axis(part.tokens, jnp.maximum(places - 1, 0)[:, None], axis=1)
        previous = jnp.where(places == 0, config.decoder_start_token_id, previous[:, 0])
        logits, past = model.apply(
            {"params": params},
            previous.repeat(2),
            places.repeat(2),
            _as_rows(part.past),
            _as_rows(part.cross),
            _as_rows(part.cross_mask),
            method=DalleBart.decode_step,
        )
        logits = logits.reshape(used, 2, -1)[:, :, :codebook_size]
        keys = jax.vmap(jax.random.fold_in)(part.seeds, places)
        drawn = sample(keys, logits[:, 0], logits[:, 1], part.settings)
        live = part.positions < config.image_length
        here = (jnp.arange(config.image_length)[None] == places[:, None]) & live[:, None]
        return part._replace(
            positions=part.positions + live,
            tokens=jnp.where(here, drawn[:, None], part.tokens),
            sound=part.sound & (is_sound(logits, axis=(1, 2)) | ~live),
            past=_as_pairs(past),
        ), None

    part = jax.tree.map(lambda all_: all_[:used], batch)
    part, _ = jax.lax.scan(step, part, length=steps)
    return jax.tree.map(lambda all_, new: all_.at[:used].set(new), batch, part)


def draw_image(
    vqgan: VQGANDecoder,
    params: Params,
    tokens: Int[Array, "S L"],
    sound: Bool[Array, "S"],
    slot: Int[Array, ""],
) -> tuple[UInt8[Array, "I J 3"], Bool[Array, "2"]]:
    """The image of one slot's tokens, and whether its logits and its pixels were sound."""
    image = vqgan.apply({"params": params}, tokens[slot][None])[0]
    # Asked before the rounding, which would make black of a NaN.
    return to_pixels(image), jnp.stack([sound[slot], is_sound(image)])


def is_sound(values: Float[Array, "*B"], axis: tuple[int, ...] | None = None) -> Bool[Array, "*C"]:
    """Whether the values along `axis` (None: all) are finite and not all alike."""
    spread = values.max(axis) - values.min(axis)
    return jnp.isfinite(spread) & (spread > 0)


def _as_rows(pairs: PyTree[Array]) -> PyTree[Array]:
    """In [S, 2, ...], out [R, ...]: conditional and unconditional rows alternate."""
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), pairs)


def _as_pairs(rows: PyTree[Array]) -> PyTree[Array]:
    """In [R, ...], out [S, 2, ...]."""
    return jax.tree.map(lambda array: array.reshape(-1, 2, *array.shape[1:]), rows)
