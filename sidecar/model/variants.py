"""The modules that a checkpoint's config chooses, and those that no published checkpoint has.

Encoder and decoder ask `Blocks` for a norm, an attention, a feed-forward; what upstream's `Variant`
says about it is decided here, once. A part that a variant leaves out is an `Identity`: no
parameters, no work. Shapes as in `layers.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sidecar.model.config import ModelConfig, Side
from sidecar.model.layers import (
    NORM_EPSILON,
    Attention,
    GatedFeedForward,
    Norm,
    NormPlace,
    ScaledDot,
    dense,
    softmax_weights,
)


def _places(*places: NormPlace) -> frozenset[NormPlace]:
    return frozenset(places)


_BEFORE = _places("before attention", "before feed-forward")
_AFTER = _places("after attention", "after feed-forward")
_NORMFORMER = _BEFORE | _places("after attention", "inside feed-forward")
_SWIN = _AFTER | _places("after every sixth layer")

NORM_PLACES: Mapping[tuple[str, Side], frozenset[NormPlace]] = {
    ("normformer", "encoder"): _NORMFORMER,
    ("normformer", "decoder"): _NORMFORMER,
    ("preln", "encoder"): _BEFORE,
    ("preln", "decoder"): _BEFORE,
    ("cogview", "encoder"): _BEFORE | _AFTER,
    ("cogview", "decoder"): _BEFORE | _AFTER,
    ("subln", "encoder"): _BEFORE | _places("inside attention", "inside feed-forward"),
    # Upstream leaves the norms before the decoder's attentions out.
    ("subln", "decoder"): _places("inside attention", "before feed-forward", "inside feed-forward"),
    ("swinv2", "encoder"): _SWIN,
    ("swinv2", "decoder"): _SWIN,
}

# Norms that are followed by a dense layer, whose kernel can do the scaling.
_WITHOUT_SCALE = _BEFORE | _places("inside feed-forward")


class Identity(nn.Module):
    """In the place of a module that the variant does not have."""

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        return x


class RMSNorm(nn.RMSNorm):
    """RMSNorm with upstream's epsilon; it never has a bias."""

    epsilon: float = NORM_EPSILON
    use_scale: bool = False


class Gain(nn.Module):
    """Multiplies by a constant: DeepNet's scaling of the residual."""

    gain: float

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        return x * self.gain


class HeadScale(nn.Module):
    """A learnt factor for each head's output."""

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, mixed: Float[Array, "B Q H C"]) -> Float[Array, "B Q H C"]:
        shape = (1, 1, mixed.shape[2], 1)
        return mixed * self.param("scale", nn.initializers.ones, shape).astype(self.dtype)


class ScaledEmbedding(nn.Module):
    """Token embedding times sqrt(d_model)."""

    rows: int
    d_model: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        shape = (self.rows, self.d_model)
        table = self.param("embedding", nn.initializers.normal(), shape)
        return jnp.take(table.astype(self.dtype), ids, axis=0) * self.d_model**0.5


class NoPositions(nn.Module):
    """In the place of the position embedding."""

    d_model: int
    dtype: jnp.dtype

    def __call__(self, positions: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        return jnp.zeros((*positions.shape, self.d_model), self.dtype)


@dataclass(frozen=True)
class Cosine(ScaledDot):
    """The similarity of a query and a key: the cosine of their angle over `tau`."""

    tau: float

    def query(self, query: Float[Array, "B H Q C"]) -> Float[Array, "B H Q C"]:
        """Length 1 / tau."""
        return self.key(query) / self.tau

    def key(self, key: Float[Array, "B H K C"]) -> Float[Array, "B H K C"]:
        """Length 1."""
        return key / (jnp.linalg.norm(key, axis=-1, keepdims=True) + 1e-8)


def sinkhorn_weights(
    scores: Float[Array, "B H Q K"], mask: Bool[Array, "#B 1 #Q K"], iterations: int
) -> Float[Array, "B H Q K"]:
    """Weights of the keys: normalised over keys and over queries in turn, as upstream's encoder."""
    scores = jnp.where(mask, scores, -jnp.inf)
    for iteration in range(iterations):
        axis = -1 if iteration % 2 == 0 else -2
        scores = scores - jax.nn.logsumexp(scores, axis=axis, keepdims=True)
        # A masked key has no finite score to be normalised by.
        scores = jnp.where(mask, scores, -jnp.inf)
    return jnp.exp(scores)


class FeedForward(GatedFeedForward):
    """Norm, activation(up), norm, down: its gate is never called and so has no parameters."""

    def __call__(self, x: Float[Array, "B Q D"]) -> Float[Array, "B Q D"]:
        hidden = self.inner_norm(self.activation(self.up(self.norm(x))))
        return self.outer_norm(self.down(hidden))


def smelu(x: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """Smooth ReLU with beta 1 as upstream has it: 1/4, and not 0, below -1."""
    x = jnp.where(x <= -1, 0, x)
    return jnp.where(x >= 1, x, jnp.square(x + 1) / 4)


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_new": partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "smelu": smelu,
}


@dataclass(frozen=True)
class Blocks:
    """What the layers of one side are made of; every call makes a new module."""

    config: ModelConfig
    side: Side
    dtype: jnp.dtype

    def token_embedding(self, rows: int) -> nn.Module:
        """Table of `rows` token embeddings."""
        embed = ScaledEmbedding if self.config.variant.scale_embedding else nn.Embed
        return embed(rows, self.config.d_model, self.dtype)

    def position_embedding(self, rows: int) -> nn.Module:
        """Table of `rows` position embeddings."""
        if self.config.variant.use_absolute_position_embeddings:
            return nn.Embed(rows, self.config.d_model, self.dtype)
        return NoPositions(self.config.d_model, self.dtype)

    def embedding_norm(self) -> nn.Module:
        """The norm of the embedded tokens."""
        return self._norm(use_scale=True)

    def final_norm(self) -> nn.Module:
        """The norm after the last layer."""
        if self.side == "encoder" and not self.config.variant.use_final_ln_encoder:
            return Identity()
        return self._norm(use_scale=False)

    def norm(self, place: NormPlace) -> nn.Module:
        """The norm of a layer at `place`, where the variant has one there."""
        if place not in NORM_PLACES[self.config.variant.ln_positions, self.side]:
            return Identity()
        return self._norm(use_scale=place not in _WITHOUT_SCALE)

    def has_output_norm(self, index: int) -> bool:
        """Whether layer `index` ends in a norm: every sixth one, except the last of all."""
        layer = index + 1
        places = NORM_PLACES[self.config.variant.ln_positions, self.side]
        is_inner_sixth = layer % 6 == 0 and layer != self.config.layers(self.side)
        return is_inner_sixth and "after every sixth layer" in places

    def output_norm(self, *, present: bool) -> nn.Module:
        """The norm after a whole layer."""
        return self.norm("after every sixth layer") if present else Identity()

    def residual(self) -> nn.Module:
        """What is done to the layer's input before its result is added."""
        if not self.config.variant.use_deepnet_scaling:
            return Identity()
        encoders, decoders = self.config.encoder_layers, self.config.decoder_layers
        if self.side == "encoder":
            return Gain(0.81 * (encoders**4 * decoders) ** (1 / 16))
        return Gain((3 * decoders) ** 0.25)

    def self_attention(self) -> Attention:
        """Attention over the side's own positions."""
        return self._attention(lambda: self.norm("inside attention"))

    def cross_attention(self) -> Attention:
        """The decoder's attention over the encoder's output; it never has an inner norm."""
        return self._attention(Identity)

    def feed_forward(self) -> nn.Module:
        """The feed-forward with its norms."""
        variant = self.config.variant
        make = GatedFeedForward if variant.use_glu else FeedForward
        activation = ACTIVATIONS[variant.activation_function]
        width = self.config.ffn_dim(self.side)
        return make(self.config.d_model, width, self._dense, self.norm, activation)

    def _attention(self, make_mid_norm: Callable[[], nn.Module]) -> Attention:
        variant = self.config.variant
        weigh = softmax_weights
        if self.side == "encoder" and variant.sinkhorn_iters > 1:
            weigh = partial(sinkhorn_weights, iterations=variant.sinkhorn_iters)
        return Attention(
            d_model=self.config.d_model,
            heads=self.config.heads(self.side),
            dtype=self.dtype,
            make_dense=self._dense,
            similarity=Cosine(variant.tau_init) if variant.use_cosine_attention else ScaledDot(),
            weigh=weigh,
            make_head_scale=partial(HeadScale, self.dtype) if variant.use_head_scale else Identity,
            make_mid_norm=make_mid_norm,
        )

    def _dense(self, width: int) -> nn.Dense:
        return dense(width, self.dtype, use_bias=self.config.variant.use_bias)

    def _norm(self, *, use_scale: bool) -> nn.Module:
        make = Norm if self.config.variant.ln_type == "layernorm" else RMSNorm
        return make(use_scale=use_scale or self.config.variant.force_ln_scale, dtype=self.dtype)
