"""The image-token decoder, as a whole sequence (training, tests) and one token at a time (serving).

Caches are arguments and results, never module state: the caller decides where they live.
"""

from collections.abc import Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sidecar.model.config import ModelConfig
from sidecar.model.variants import Blocks

# Keys and values of one layer: of the image tokens so far (L places), and of the prompt (T places).
Past = tuple[Float[Array, "B H L C"], Float[Array, "B H L C"]]
Cross = tuple[Float[Array, "B H T C"], Float[Array, "B H T C"]]


class DecoderLayer(nn.Module):
    """Self and cross attention with a norm before and after each, and the feed-forward."""

    blocks: Blocks
    has_output_norm: bool

    def setup(self) -> None:
        blocks = self.blocks
        self.residual = blocks.residual()
        self.pre_self_norm = blocks.norm("before attention")
        self.self_attention = blocks.self_attention()
        self.post_self_norm = blocks.norm("after attention")
        self.pre_cross_norm = blocks.norm("before attention")
        self.cross_attention = blocks.cross_attention()
        self.post_cross_norm = blocks.norm("after attention")
        self.feed_forward = blocks.feed_forward()
        self.output_norm = blocks.output_norm(present=self.has_output_norm)

    def __call__(
        self,
        x: Float[Array, "B L D"],
        cross: Cross,
        cross_mask: Bool[Array, "B T"],
    ) -> Float[Array, "B L D"]:
        """The whole sequence at once, each position seeing itself and those before it."""
        normed = self.pre_self_norm(x)
        causal = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))[None]
        mixed = self.self_attention.attend(normed, self.self_attention.key_value(normed), causal)
        return self._after_self_attention(x, mixed, cross, cross_mask)

    def step(
        self,
        x: Float[Array, "B 1 D"],
        positions: Int[Array, "B"],
        past: Past,
        cross: Cross,
        cross_mask: Bool[Array, "B T"],
    ) -> tuple[Float[Array, "B 1 D"], Past]:
        """One token a row, each row at its own position; returns the grown cache."""
        normed = self.pre_self_norm(x)
        new = self.self_attention.key_value(normed)
        past = (_write(past[0], new[0], positions), _write(past[1], new[1], positions))
        seen = jnp.arange(past[0].shape[2])[None, None, :] <= positions[:, None, None]
        mixed = self.self_attention.attend(normed, past, seen)
        return self._after_self_attention(x, mixed, cross, cross_mask), past

    def _after_self_attention(
        self,
        x: Float[Array, "B Q D"],
        mixed: Float[Array, "B Q D"],
        cross: Cross,
        cross_mask: Bool[Array, "B T"],
    ) -> Float[Array, "B Q D"]:
        x = self.residual(x) + self.post_self_norm(mixed)
        normed = self.pre_cross_norm(x)
        mixed = self.cross_attention.attend(normed, cross, cross_mask[:, None, :])
        x = self.residual(x) + self.post_cross_norm(mixed)
        x = self.residual(x) + self.feed_forward(x)
        return self.output_norm(x)


class Decoder(nn.Module):
    """Token and position embedding, norm, layers, final norm; the head belongs to `DalleBart`."""

    config: ModelConfig
    dtype: jnp.dtype

    def setup(self) -> None:
        config = self.config
        blocks = Blocks(config, "decoder", self.dtype)
        self.embed_tokens = blocks.token_embedding(config.image_table_rows)
        self.embed_positions = blocks.position_embedding(config.image_length)
        self.embedding_norm = blocks.embedding_norm()
        self.layers = [
            DecoderLayer(blocks, blocks.has_output_norm(index))
            for index in range(config.decoder_layers)
        ]
        self.final_norm = blocks.final_norm()

    def cross_cache(self, encoder_hidden: Float[Array, "B T D"]) -> tuple[Cross, ...]:
        """Cross-attention keys and values of every layer: once a prompt, not once a token."""
        return tuple(layer.cross_attention.key_value(encoder_hidden) for layer in self.layers)

    def __call__(
        self,
        input_ids: Int[Array, "B L"],
        cross: tuple[Cross, ...],
        cross_mask: Bool[Array, "B T"],
    ) -> Float[Array, "B L D"]:
        """Hidden states of a whole sequence that begins with the start token."""
        positions = jnp.arange(input_ids.shape[1])
        x = self.embed_tokens(input_ids) + self.embed_positions(positions)[None]
        x = self.embedding_norm(x)
        for layer, layer_cross in zip(self.layers, cross, strict=True):
            x = layer(x, layer_cross, cross_mask)
        return self.final_norm(x)

    def step(
        self,
        input_ids: Int[Array, "B"],
        positions: Int[Array, "B"],
        past: tuple[Past, ...],
        cross: tuple[Cross, ...],
        cross_mask: Bool[Array, "B T"],
    ) -> tuple[Float[Array, "B D"], tuple[Past, ...]]:
        """Hidden state of one token a row and the caches grown by it.

        Args:
            input_ids: the token before the one to draw (the start token at position 0).
            positions: its place, 0 .. image_length - 1; the cache is written there.
            past: self-attention keys and values; what is behind `positions` is never read.
        """
        x = self.embed_tokens(input_ids) + self.embed_positions(positions)
        x = self.embedding_norm(x)[:, None]
        grown: list[Past] = []
        for layer, layer_past, layer_cross in zip(self.layers, past, cross, strict=True):
            unbound = DecoderLayer(layer.blocks, layer.has_output_norm, parent=None)
            here = x, positions, layer_past, layer_cross, cross_mask
            x, layer_past = _step_layer(unbound, layer.variables["params"], *here)
            grown.append(layer_past)
        return self.final_norm(x)[:, 0], tuple(grown)


@partial(jax.jit, static_argnums=0)
def _step_layer(
    layer: DecoderLayer,
    params: Mapping[str, object],
    x: Float[Array, "B 1 D"],
    positions: Int[Array, "B"],
    past: Past,
    cross: Cross,
    cross_mask: Bool[Array, "B T"],
) -> tuple[Float[Array, "B 1 D"], Past]:
    """`DecoderLayer.step`, traced once for all layers alike: the trace is most of a warm start."""
    step = nn.apply(DecoderLayer.step, layer)
    return step({"params": params}, x, positions, past, cross, cross_mask)


def _write(
    cache: Float[Array, "B H L C"], new: Float[Array, "B H 1 C"], positions: Int[Array, "B"]
) -> Float[Array, "B H L C"]:
    """`cache` with row b's entry at `positions[b]` replaced by `new[b]`."""

    def write_row(
        row: Float[Array, "H L C"], entry: Float[Array, "H 1 C"], position: Int[Array, ""]
    ) -> Float[Array, "H L C"]:
        return jax.lax.dynamic_update_slice_in_dim(row, entry, position, axis=1)

    return jax.vmap(write_row)(cache, new.astype(cache.dtype), positions)
