"""The product's modules with the matrix products and gradients that a CPU is quick at.

XLA:CPU multiplies bfloat16 rows several times faster than float32 (into float32 sums), but only
when the left factor is contracted over its last axis; the transposes that gradients need otherwise
fall back to slow loops. So the gradients of dense layers and attention are written out here, and
`fast_math` puts them in the place of the modules' own arithmetic while training traces its step.
Parameters, and everything else, stay float32.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sidecar.model.layers import Attention, KeyValue

_HALF = jnp.bfloat16
_FAR = -1e30


def fast_math() -> AbstractContextManager[None]:
    """Within it, `nn.Dense` and `Attention` compute in bfloat16 with float32 sums."""
    return nn.intercept_methods(_intercept)


def _intercept(
    original: Callable[..., jax.Array],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
) -> jax.Array:
    module = context.module
    if module.is_initializing():
        return original(*args, **kwargs)
    if isinstance(module, nn.Dense) and context.method_name == "__call__":
        return _dense(module, *args)
    if isinstance(module, Attention) and context.method_name == "attend":
        return _attend(module, *args)
    return original(*args, **kwargs)


def _dense(module: nn.Dense, x: Float[Array, "*B D"]) -> Float[Array, "*B F"]:
    kernel = module.get_variable("params", "kernel")
    return _product(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def _attend(
    module: Attention,
    x: Float[Array, "B Q D"],
    key_value: KeyValue,
    mask: Bool[Array, "#B #Q K"],
) -> Float[Array, "B Q D"]:
    keys, values = key_value
    width = keys.shape[-1]
    query = module.q_proj(x).reshape(*x.shape[:2], -1, width).swapaxes(1, 2) * width**-0.5
    mixed = _attention(query, keys, values, mask[:, None]).swapaxes(1, 2)
    return module.out_proj(mixed.reshape(*x.shape[:-1], -1))


def _matmul(a: jax.Array, b: jax.Array, b_axis: int) -> jax.Array:
    """Product over the last axis of `a` and axis `b_axis` (-1 or -2) of `b`; the rest is batch."""
    batch = tuple(range(a.ndim - 2))
    dimensions = (((a.ndim - 1,), (b.ndim + b_axis,)), (batch, batch))
    return jax.lax.dot_general(
        a.astype(_HALF), b.astype(_HALF), dimensions, preferred_element_type=jnp.float32
    )


def _transposed(x: jax.Array) -> jax.Array:
    """`x` with its last two axes exchanged in memory.

    A bare transpose would be folded into the product.
    """
    number = x[(0,) * x.ndim] == x[(0,) * x.ndim]
    empty = jnp.full((*x.shape[:-2], x.shape[-1], x.shape[-2]), jnp.nan, x.dtype)
    return jax.lax.cond(number, lambda x: x.swapaxes(-1, -2) + 0, lambda _: empty, x)


@jax.custom_vjp
def _product(x: Float[Array, "N D"], kernel: Float[Array, "D F"]) -> Float[Array, "N F"]:
    return _matmul(x, kernel, -2)


def _product_forward(x: jax.Array, kernel: jax.Array):
    return _product(x, kernel), (x.astype(_HALF), kernel)


def _product_backward(saved: tuple[jax.Array, jax.Array], gradient: jax.Array):
    x, kernel = saved
    gradient = gradient.astype(_HALF)
    return _matmul(gradient, kernel, -1), _matmul(_transposed(x), gradient, -2)


_product.defvjp(_product_forward, _product_backward)


@jax.custom_vjp
def _attention(
    query: Float[Array, "B H Q C"],
    keys: Float[Array, "B H K C"],
    values: Float[Array, "B H K C"],
    mask: Bool[Array, "#B 1 #Q K"],
) -> Float[Array, "B H Q C"]:
    return _attention_forward(query, keys, values, mask)[0]


def _attention_forward(query: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array):
    scores = jnp.where(mask, _matmul(query, keys, -1), _FAR)
    raised = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = (raised / raised.sum(axis=-1, keepdims=True)).astype(_HALF)
    saved = (query.astype(_HALF), keys.astype(_HALF), values.astype(_HALF), weights)
    return _matmul(weights, values, -2), saved


def _attention_backward(saved: tuple[jax.Array, ...], gradient: jax.Array):
    query, keys, values, weights = saved
    gradient = gradient.astype(_HALF)
    to_weights = _matmul(gradient, values, -1)
    wide = weights.astype(jnp.float32)
    pull = (wide * to_weights).sum(axis=-1, keepdims=True)
    to_scores = (wide * (to_weights - pull)).astype(_HALF)
    return (
        _matmul(to_scores, keys, -2),
        _matmul(_transposed(to_scores), query, -2),
        _matmul(_transposed(weights), gradient, -2),
        None,
    )


_attention.defvjp(_attention_forward, _attention_backward)


@jax.custom_vjp
def cross_entropy(logits: Float[Array, "N V"], targets: Int[Array, "N"]) -> Float[Array, "N"]:
    """Nats a token."""
    return _cross_entropy_forward(logits, targets)[0]


def _cross_entropy_forward(logits: jax.Array, targets: jax.Array):
    total = jax.nn.logsumexp(logits, axis=-1)
    picked = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    return total - picked, (logits, total, targets)


def _cross_entropy_backward(saved: tuple[jax.Array, ...], gradient: Float[Array, "N"]):
    logits, total, targets = saved
    hit = jnp.arange(logits.shape[-1])[None] == targets[:, None]
    return (jnp.exp(logits - total[:, None]) - hit) * gradient[:, None], None


cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_backward)
