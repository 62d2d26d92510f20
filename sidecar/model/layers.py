"""The blocks of the published checkpoints: norm, dense layer, attention, gated feed-forward.

What a checkpoint of another variant has in their place is in `variants.py`, which also chooses.
Shapes in signatures: B rows, Q query positions, K key positions, D model width, H heads, C head
width.
"""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import PrecisionLike
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

NORM_EPSILON = 1e-5

# Where a layer can have a norm; which places have one is what `ln_positions` says.
NormPlace = Literal[
    "before attention",
    "inside attention",
    "after attention",
    "before feed-forward",
    "inside feed-forward",
    "after feed-forward",
    "after every sixth layer",
]

KeyValue = tuple[Float[Array, "B H K C"], Float[Array, "B H K C"]]


class Norm(nn.LayerNorm):
    """LayerNorm with upstream's epsilon; most of the model's norms have a bias and no scale."""

    epsilon: float = NORM_EPSILON
    use_scale: bool = False


def dot_rows(
    inputs: Float[Array, "*B D"],
    kernel: Float[Array, "D F"],
    _dimension_numbers: object = None,
    precision: PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
) -> Float[Array, "*B F"]:
    """The product of a dense layer as one two-dimensional matrix product, in `nn.Dense`'s terms.

    XLA:CPU differentiates a product over more than one leading axis into loops that run several
    times slower than its matrix kernels; training/ needs those gradients.
    """
    rows = inputs.reshape(-1, inputs.shape[-1])
    product = jax.lax.dot(
        rows, kernel, precision=precision, preferred_element_type=preferred_element_type
    )
    return product.reshape(*inputs.shape[:-1], kernel.shape[-1])


def dense(features: int, dtype: jnp.dtype, *, use_bias: bool = False) -> nn.Dense:
    """A dense layer, without bias in the published checkpoints."""
    return nn.Dense(features, use_bias=use_bias, dtype=dtype, dot_general=dot_rows)


def at_least_float32(dtype: jnp.dtype) -> jnp.dtype:
    """What scores and logits are computed in: rounding errors grow in what follows them."""
    return jnp.promote_types(jnp.float32, dtype)


class ScaledDot:
    """The similarity of a query and a key: their product over sqrt(C)."""

    def query(self, query: Float[Array, "B H Q C"]) -> Float[Array, "B H Q C"]:
        """What of the similarity can be done to the queries."""
        return query / jnp.sqrt(query.shape[-1]).astype(query.dtype)

    def key(self, key: Float[Array, "B H K C"]) -> Float[Array, "B H K C"]:
        """What of the similarity can be done to the keys, before they are kept."""
        return key


def softmax_weights(
    scores: Float[Array, "B H Q K"], mask: Bool[Array, "#B 1 #Q K"]
) -> Float[Array, "B H Q K"]:
    """Weights of the keys: softmax, with masked keys at -inf."""
    return jax.nn.softmax(jnp.where(mask, scores, -jnp.inf))


class Attention(nn.Module):
    """Multi-head attention, cut into the steps that a key/value cache needs apart.

    Scores are float32 in lower precisions too. The callables make the modules that they are named
    after.
    """

    d_model: int
    heads: int
    dtype: jnp.dtype
    make_dense: Callable[[int], nn.Module]
    similarity: ScaledDot
    weigh: Callable[[Array, Array], Array]
    make_head_scale: Callable[[], nn.Module]
    make_mid_norm: Callable[[], nn.Module]

    def setup(self) -> None:
        self.q_proj, self.k_proj = self.make_dense(self.d_model), self.make_dense(self.d_model)
        self.v_proj, self.out_proj = self.make_dense(self.d_model), self.make_dense(self.d_model)
        self.head_scale = self.make_head_scale()
        self.mid_norm = self.make_mid_norm()

    def key_value(self, x: Float[Array, "B K D"]) -> KeyValue:
        """Keys and values of `x`, heads apart."""
        keys = self.similarity.key(self._split_heads(self.k_proj(x)))
        return keys, self._split_heads(self.v_proj(x))

    def attend(
        self, x: Float[Array, "B Q D"], key_value: KeyValue, mask: Bool[Array, "#B #Q K"]
    ) -> Float[Array, "B Q D"]:
        """Attention of `x` over given keys and values; `mask` is true where a key may be seen."""
        keys, values = key_value
        query = self.similarity.query(self._split_heads(self.q_proj(x)))
        scores = jnp.einsum(
            "bhqc,bhkc->bhqk", query, keys, preferred_element_type=at_least_float32(self.dtype)
        )
        weights = self.weigh(scores, mask[:, None]).astype(self.dtype)
        mixed = self.head_scale(jnp.einsum("bhqk,bhkc->bqhc", weights, values))
        return self.out_proj(self.mid_norm(mixed.reshape(*x.shape[:-1], self.d_model)))

    def _split_heads(self, x: Float[Array, "B K D"]) -> Float[Array, "B H K C"]:
        rows, length, width = x.shape
        return x.reshape(rows, length, self.heads, width // self.heads).swapaxes(1, 2)


class GatedFeedForward(nn.Module):
    """Norm, activation(gate) * up, norm, down."""

    d_model: int
    ffn_dim: int
    make_dense: Callable[[int], nn.Module]
    make_norm: Callable[[NormPlace], nn.Module]
    activation: Callable[[Array], Array]

    def setup(self) -> None:
        self.norm = self.make_norm("before feed-forward")
        self.gate, self.up = self.make_dense(self.ffn_dim), self.make_dense(self.ffn_dim)
        self.inner_norm = self.make_norm("inside feed-forward")
        self.down = self.make_dense(self.d_model)
        self.outer_norm = self.make_norm("after feed-forward")

    def __call__(self, x: Float[Array, "B Q D"]) -> Float[Array, "B Q D"]:
        x = self.norm(x)
        hidden = self.inner_norm(self.activation(self.gate(x)) * self.up(x))
        return self.outer_norm(self.down(hidden))
