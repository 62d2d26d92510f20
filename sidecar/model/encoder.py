"""The text encoder: prompt ids to hidden states. Knows no tokenizer and no decoder."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sidecar.config import ModelConfig
from sidecar.model.layers import Attention, GatedFeedForward, Norm


class EncoderLayer(nn.Module):
    """Normformer layer: a norm before and after attention, and the gated feed-forward."""

    config: ModelConfig
    dtype: jnp.dtype

    def setup(self) -> None:
        config = self.config
        self.pre_attention_norm = Norm(dtype=self.dtype)
        self.attention = Attention(config.d_model, config.encoder_attention_heads, self.dtype)
        self.post_attention_norm = Norm(use_scale=True, dtype=self.dtype)
        self.feed_forward = GatedFeedForward(config.d_model, config.encoder_ffn_dim, self.dtype)

    def __call__(self, x: Float[Array, "B T D"], mask: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        normed = self.pre_attention_norm(x)
        live = mask[:, None, :].astype(bool)
        mixed = self.attention.attend(normed, self.attention.key_value(normed), live)
        x = x + self.post_attention_norm(mixed)
        return x + self.feed_forward(x)


class Encoder(nn.Module):
    """Token and position embedding, norm, layers, final norm."""

    config: ModelConfig
    dtype: jnp.dtype

    def setup(self) -> None:
        config = self.config
        self.embed_tokens = nn.Embed(config.encoder_vocab_size, config.d_model, self.dtype)
        self.embed_positions = nn.Embed(config.max_text_length, config.d_model, self.dtype)
        self.embedding_norm = Norm(use_scale=True, dtype=self.dtype)
        self.layers = [EncoderLayer(config, self.dtype) for _ in range(config.encoder_layers)]
        self.final_norm = Norm(dtype=self.dtype)

    def __call__(
        self, input_ids: Int[Array, "B T"], attention_mask: Int[Array, "B T"]
    ) -> Float[Array, "B T D"]:
        """Hidden states of `input_ids`; positions whose mask is 0 are defined but must not be read.

        An id outside the table gives NaN in its whole row (JAX fills, it does not clamp): ids are the
        caller's to check.
        """
        positions = jnp.arange(input_ids.shape[1])
        x = self.embed_tokens(input_ids) + self.embed_positions(positions)[None]
        x = self.embedding_norm(x)
        for layer in self.layers:
            x = layer(x, attention_mask)
        return self.final_norm(x)
