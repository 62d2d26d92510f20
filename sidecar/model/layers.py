"""The building blocks that encoder and decoder share: norms, attention, gated feed-forward.

Shapes in signatures: B rows, Q query positions, K key positions, D model width, H heads, C head width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import PrecisionLike
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

NORM_EPSILON = 1e-5

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

    XLA:CPU differentiates a product over more than one leading axis into loops that run several times
    slower than its matrix kernels; training/ needs those gradients.
    """
    rows = inputs.reshape(-1, inputs.shape[-1])
    product = jax.lax.dot(
        rows, kernel, precision=precision, preferred_element_type=preferred_element_type
    )
    return product.reshape(*inputs.shape[:-1], kernel.shape[-1])


def dense(features: int, dtype: jnp.dtype, name: str | None = None) -> nn.Dense:
    """A dense layer without bias, as all of the model's are."""
    return nn.Dense(features, use_bias=False, dtype=dtype, dot_general=dot_rows, name=name)


class Attention(nn.Module):
    """Multi-head attention, cut into the steps that a key/value cache needs apart.

    Scores are scaled by 1/sqrt(C) and the softmax runs in float32, masked keys at -inf.
    """

    d_model: int
    heads: int
    dtype: jnp.dtype

    def setup(self) -> None:
        self.q_proj = dense(self.d_model, self.dtype)
        self.k_proj = dense(self.d_model, self.dtype)
        self.v_proj = dense(self.d_model, self.dtype)
        self.out_proj = dense(self.d_model, self.dtype)

    def key_value(self, x: Float[Array, "B K D"]) -> KeyValue:
        """Keys and values of `x`, heads apart."""
        return self._split_heads(self.k_proj(x)), self._split_heads(self.v_proj(x))

    def attend(
        self, x: Float[Array, "B Q D"], key_value: KeyValue, mask: Bool[Array, "#B #Q K"]
    ) -> Float[Array, "B Q D"]:
        """Attention of `x` over given keys and values; `mask` is true where a key may be seen."""
        keys, values = key_value
        query = self._split_heads(self.q_proj(x)) / jnp.sqrt(keys.shape[-1]).astype(self.dtype)
        scores = jnp.einsum("bhqc,bhkc->bhqk", query, keys, preferred_element_type=jnp.float32)
        scores = jnp.where(mask[:, None], scores, -jnp.inf)
        weights = jax.nn.softmax(scores).astype(self.dtype)
        mixed = jnp.einsum("bhqk,bhkc->bqhc", weights, values)
        return self.out_proj(mixed.reshape(*x.shape[:-1], self.d_model))

    def _split_heads(self, x: Float[Array, "B K D"]) -> Float[Array, "B H K C"]:
        rows, length, width = x.shape
        return x.reshape(rows, length, self.heads, width // self.heads).swapaxes(1, 2)


class GatedFeedForward(nn.Module):
    """Normformer GLU: norm, gelu(gate) * up, norm, down. gelu is the exact (erf) form."""

    d_model: int
    ffn_dim: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B Q D"]) -> Float[Array, "B Q D"]:
        x = Norm(dtype=self.dtype, name="norm")(x)
        gate = jax.nn.gelu(dense(self.ffn_dim, self.dtype, "gate")(x), approximate=False)
        hidden = gate * dense(self.ffn_dim, self.dtype, "up")(x)
        hidden = Norm(dtype=self.dtype, name="inner_norm")(hidden)
        return dense(self.d_model, self.dtype, "down")(hidden)
