"""The text encoder: prompt ids to hidden states. Knows no tokenizer and no decoder."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sidecar.model.config import ModelConfig
from sidecar.model.variants import Blocks


class EncoderLayer(nn.Module):
    """Attention with a norm before and after it, and the feed-forward."""

    blocks: Blocks
    has_output_norm: bool

    def setup(self) -> None:
        blocks = self.blocks
        self.residual = blocks.residual()
        self.pre_attention_norm = blocks.norm("before attention")
        self.attention = blocks.self_attention()
        self.post_attention_norm = blocks.norm("after attention")
        self.feed_forward = blocks.feed_forward()
        self.output_norm = blocks.output_norm(present=self.has_output_norm)

    def __call__(self, x: Float[Array, "B T D"], mask: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        normed = self.pre_attention_norm(x)
        live = mask[:, None, :].astype(bool)
        mixed = self.attention.attend(normed, self.attention.key_value(normed), live)
        x = self.residual(x) + self.post_attention_norm(mixed)
        x = self.residual(x) + self.feed_forward(x)
        return self.output_norm(x)


class Encoder(nn.Module):
    """Token and position embedding, norm, layers, final norm."""

    config: ModelConfig
    dtype: jnp.dtype

    def setup(self) -> None:
        config = self.config
        blocks = Blocks(config, "encoder", self.dtype)
        self.embed_tokens = blocks.token_embedding(config.encoder_vocab_size)
        self.embed_positions = blocks.position_embedding(config.max_text_length)
        self.embedding_norm = blocks.embedding_norm()
        self.layers = [
            EncoderLayer(blocks, blocks.has_output_norm(index))
            for index in range(config.encoder_layers)
        ]
        self.final_norm = blocks.final_norm()

    def __call__(
        self, input_ids: Int[Array, "B T"], attention_mask: Int[Array, "B T"]
    ) -> Float[Array, "B T D"]:
        """Hidden states of `input_ids`; positions whose mask is 0 are defined but must not be read.

        An id outside the table gives NaN in its whole row (JAX fills, it does not clamp): ids are
        the caller's to check.
        """
        positions = jnp.arange(input_ids.shape[1])
        x = self.embed_tokens(input_ids) + self.embed_positions(positions)[None]
        x = self.embedding_norm(x)
        for layer in self.layers:
            x = layer(x, attention_mask)
        return self.final_norm(x)
