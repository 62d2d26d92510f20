"""Where the golden checkpoints and answers of upstream's own code are, and how to read them."""

from functools import cache
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from conftest import UPSTREAM

from sidecar.checkpoint.weights import Params

VQGAN_FOLDER = UPSTREAM / "vqgan"


def model_folder(name: str) -> Path:
    """The checkpoint folder of a golden model."""
    return UPSTREAM / "models" / name


def golden(name: str) -> dict[str, jax.Array]:
    """The arrays of a golden file."""
    return read_arrays(UPSTREAM / "golden" / f"{name}.npz")


@cache
def read_arrays(path: Path) -> dict[str, jax.Array]:
    """The arrays of an npz file, without its texts."""
    with np.load(path) as arrays:
        return {
            name: jnp.asarray(arrays[name]) for name in arrays if arrays[name].dtype.kind != "U"
        }


def apply(module: nn.Module, params: Params, *inputs: jax.Array, method: Any = None) -> Any:
    """What a module, or one of its methods, makes of the inputs."""
    return module.apply({"params": params}, *inputs, method=method)


def steps_to_compare(margins: jax.Array, smallest: float) -> int:
    """How many steps of a greedy sequence must be equal: up to the first near tie."""
    near_ties = np.flatnonzero(margins < smallest)
    return int(near_ties[0]) if near_ties.size else margins.shape[-1]
