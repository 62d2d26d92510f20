"""Trees of parameters: made, used and counted."""

from typing import Any, cast

import flax.linen as nn
import jax

Params = dict[str, Any]
"""Parameters by their names, nested as the modules are."""


def fresh_params(module: nn.Module, seed: int, *inputs: jax.typing.ArrayLike) -> Params:
    """What the module starts out with, for inputs of these shapes."""
    return cast(Params, jax.jit(module.init)(jax.random.key(seed), *inputs)["params"])


def output(
    module: nn.Module, params: Params, *inputs: jax.typing.ArrayLike, method: str = "__call__"
) -> jax.Array:
    """What the module makes of its inputs."""
    return cast(jax.Array, module.apply({"params": params}, *inputs, method=method))


def count_parameters(params: Params) -> int:
    """How many numbers a tree holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
