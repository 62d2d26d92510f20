"""From two rows of logits to one drawn token: guidance, temperature, top-k, top-p, categorical.

The order and every edge are those of transformers 4.25.1's Flax sampler as dalle-mini calls it.
Works on logits in falling order ("ranked"), where top-k is a prefix and top-p a shorter one.
Shapes: S slots, V vocabulary, K candidates.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


class SlotSampling(NamedTuple):
    """Sampling settings of S slots.

    `top_k` 0 switches top-k off; `top_p` 1 switches top-p off; `cond_scale` 1 switches guidance
    off.
    """

    cond_scale: Float[Array, "S"]
    temperature: Float[Array, "S"]
    top_k: Int[Array, "S"]
    top_p: Float[Array, "S"]


def guide(
    conditional: Float[Array, "S V"],
    unconditional: Float[Array, "S V"],
    scale: Float[Array, "S"],
) -> Float[Array, "S V"]:
    """Classifier-free guidance ("super conditioning"): unconditional + scale * difference."""
    scale = scale[:, None]
    guided = unconditional + scale * (conditional - unconditional)
    # Not the same in floating point: at scale 1 upstream leaves the unconditional pass out.
    return jnp.where(scale == 1, conditional, guided)


def rank(
    logits: Float[Array, "S V"], settings: SlotSampling, candidates: int
) -> tuple[Float[Array, "S K"], Int[Array, "S K"]]:
    """The highest `candidates` logits in falling order, the filtered ones at -inf, and their ids.

    Exactly top_k entries survive top-k: among equals the lower id wins. Of those, top-p keeps the
    smallest prefix whose probability reaches `top_p`, and always the first.

    Args:
        candidates: K, at least the largest top_k in use, and V if any slot has top-k off.
    """
    values, ids = jax.lax.top_k(logits / settings.temperature[:, None], candidates)
    places = jnp.arange(candidates)[None]
    top_k = jnp.where(settings.top_k == 0, candidates, settings.top_k)[:, None]
    values = jnp.where(places < top_k, values, -jnp.inf)

    top_p = settings.top_p[:, None]
    before = jnp.cumsum(jax.nn.softmax(values), axis=-1)
    reached_before = jnp.pad(before[:, :-1], ((0, 0), (1, 0)))
    kept = (reached_before < top_p) | (top_p >= 1) | (places == 0)
    return jnp.where(kept, values, -jnp.inf), ids


def draw(
    keys: Key[Array, "S"], values: Float[Array, "S K"], ids: Int[Array, "S K"]
) -> Int[Array, "S"]:
    """One token a slot from ranked logits, by the Gumbel trick.

    The noise belongs to the rank, and threefry's noise for the first ranks is the same however many
    ranks there are: a slot draws the same token whatever K its neighbours need.
    """
    noise = jax.vmap(lambda key: jax.random.gumbel(key, (values.shape[1],)))(keys)
    best = jnp.argmax(values + noise, axis=-1)
    return jnp.take_along_axis(ids, best[:, None], axis=-1)[:, 0]


def sample(
    keys: Key[Array, "S"],
    conditional: Float[Array, "S V"],
    unconditional: Float[Array, "S V"],
    settings: SlotSampling,
    few: int = 256,
) -> Int[Array, "S"]:
    """Draw one token a slot; ranks only `few` candidates when every slot's top-k allows it.

    Ranking the whole vocabulary costs more than the rest of the step, and the default top-k is 50.
    """
    vocabulary = conditional.shape[1]
    logits = guide(conditional, unconditional, settings.cond_scale)

    def draw_among(candidates: int) -> Int[Array, "S"]:
        return draw(keys, *rank(logits, settings, candidates))

    if vocabulary <= few:
        return draw_among(vocabulary)
    few_suffice = jnp.all((settings.top_k > 0) & (settings.top_k <= few))
    return jax.lax.cond(few_suffice, lambda: draw_among(few), lambda: draw_among(vocabulary))
