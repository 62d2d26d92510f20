"""DalleBart: text encoder, image-token decoder and head, as upstream's checkpoints hold them."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sidecar.model.config import ModelConfig
from sidecar.model.decoder import Cross, Decoder, Past
from sidecar.model.encoder import Encoder
from sidecar.model.layers import at_least_float32, dot_rows


class DalleBart(nn.Module):
    """The whole model; `__call__` is the teacher-forced pass that training and tests use."""

    config: ModelConfig
    dtype: jnp.dtype = jnp.dtype("float32")

    def setup(self) -> None:
        self.encoder = Encoder(self.config, self.dtype)
        self.decoder = Decoder(self.config, self.dtype)
        # Guidance at scale 10 multiplies rounding errors by 19: logits are float32 in lower
        # precisions too.
        self.lm_head = nn.Dense(
            self.config.image_table_rows,
            use_bias=False,
            dtype=self.dtype,
            dot_general=partial(dot_rows, preferred_element_type=at_least_float32(self.dtype)),
        )

    def encode(
        self, input_ids: Int[Array, "B T"], attention_mask: Int[Array, "B T"]
    ) -> Float[Array, "B T D"]:
        """Encoder hidden states; see `Encoder`."""
        return self.encoder(input_ids, attention_mask)

    def cross_cache(self, encoder_hidden: Float[Array, "B T D"]) -> tuple[Cross, ...]:
        """Cross-attention keys and values of every decoder layer; see `Decoder`."""
        return self.decoder.cross_cache(encoder_hidden)

    def __call__(
        self,
        input_ids: Int[Array, "B T"],
        attention_mask: Int[Array, "B T"],
        decoder_input_ids: Int[Array, "B L"],
    ) -> Float[Array, "B L V"]:
        """Float32 logits of each position of `decoder_input_ids` (shifted right, start first)."""
        cross = self.cross_cache(self.encode(input_ids, attention_mask))
        hidden = self.decoder(decoder_input_ids, cross, attention_mask.astype(bool))
        return self.lm_head(hidden)

    def decode_step(
        self,
        input_ids: Int[Array, "B"],
        positions: Int[Array, "B"],
        past: tuple[Past, ...],
        cross: tuple[Cross, ...],
        cross_mask: Bool[Array, "B T"],
    ) -> tuple[Float[Array, "B V"], tuple[Past, ...]]:
        """Float32 logits of the next token of each row, and the grown cache; see `Decoder.step`."""
        hidden, past = self.decoder.step(input_ids, positions, past, cross, cross_mask)
        return self.lm_head(hidden), past
