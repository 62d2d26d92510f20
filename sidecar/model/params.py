"""Upstream's parameter trees to ours; the only file that knows upstream's parameter names.

Scanned files stack all layers of a side on axis 0, unrolled files name each layer. Both become one
internal layout, a subtree per layer: a decode step then reads every weight in place, where a scan would
copy each layer's slice out of the stack for every token.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from sidecar.config import ModelConfig, VQGANConfig
from sidecar.model.dallebart import DalleBart
from sidecar.model.msgpack_file import CheckpointError, LeafPath, read_leaves
from sidecar.model.vqgan import VQGANDecoder

Params = dict[str, object]
Leaves = Mapping[LeafPath, np.ndarray]

# Upstream's class-numbered module names against ours.
_SHARED_NAMES: Mapping[LeafPath, LeafPath] = {
    ("final_ln",): ("final_norm",),
    ("layernorm_embedding",): ("embedding_norm",),
    ("GLU_0", "LayerNorm_0"): ("feed_forward", "norm"),
    ("GLU_0", "LayerNorm_1"): ("feed_forward", "inner_norm"),
    ("GLU_0", "Dense_0"): ("feed_forward", "gate"),
    ("GLU_0", "Dense_1"): ("feed_forward", "up"),
    ("GLU_0", "Dense_2"): ("feed_forward", "down"),
}
NAMES: Mapping[str, Mapping[LeafPath, LeafPath]] = {
    "encoder": {
        **_SHARED_NAMES,
        ("LayerNorm_0",): ("pre_attention_norm",),
        ("FlaxBartAttention_0",): ("attention",),
        ("LayerNorm_1",): ("post_attention_norm",),
    },
    "decoder": {
        **_SHARED_NAMES,
        ("LayerNorm_0",): ("pre_self_norm",),
        ("FlaxBartAttention_0",): ("self_attention",),
        ("LayerNorm_1",): ("post_self_norm",),
        ("LayerNorm_2",): ("pre_cross_norm",),
        ("FlaxBartAttention_1",): ("cross_attention",),
        ("LayerNorm_3",): ("post_cross_norm",),
    },
}
LAYER_CLASS: Mapping[str, str] = {
    "encoder": "FlaxBartEncoderLayer",
    "decoder": "FlaxBartDecoderLayer",
}
# The halves of a VQGAN file that serving does not read.
_ENCODER_HALF = frozenset({"encoder", "quant_conv"})


def load_dallebart(folder: Path, config: ModelConfig, dtype: jnp.dtype) -> tuple[Params, str]:
    """Parameters of a DalleBart folder in `dtype`, in the tree that `DalleBart(config)` uses, and the
    file's sha256.

    Raises:
        CheckpointError: unreadable, or a leaf is missing, left over or of another shape.
    """
    path = folder / "flax_model.msgpack"
    leaves, digest = read_leaves(path)
    renamed: dict[LeafPath, np.ndarray] = {}
    for leaf, value in leaves.items():
        renamed.update(_rename(leaf, value))
    expected = _expected_shapes(
        DalleBart(config),
        jnp.zeros((1, config.max_text_length), jnp.int32),
        jnp.zeros((1, config.max_text_length), jnp.int32),
        jnp.zeros((1, config.image_length), jnp.int32),
    )
    return _to_device(path, renamed, expected, dtype), digest


def load_vqgan(folder: Path, config: VQGANConfig) -> tuple[Params, str]:
    """Float32 parameters of a VQGAN folder's decoder half, for `VQGANDecoder(config)`, and the sha256.

    Raises:
        CheckpointError: as `load_dallebart`.
    """
    path = folder / "flax_model.msgpack"
    leaves, digest = read_leaves(path)
    decoder_half = {leaf: value for leaf, value in leaves.items() if leaf[0] not in _ENCODER_HALF}
    expected = _expected_shapes(VQGANDecoder(config), jnp.zeros((1, 1), jnp.int32))
    return _to_device(path, decoder_half, expected, jnp.dtype("float32")), digest


def _rename(leaf: LeafPath, value: np.ndarray) -> Iterator[tuple[LeafPath, np.ndarray]]:
    """Our path (or, for a scanned leaf, one path a layer) and value for one leaf of a DalleBart file."""
    match leaf:
        case ("model", ("encoder" | "decoder") as side, "layers", layer, *rest):
            names = _replace_prefix(tuple(rest), NAMES[side])
            if layer == f"{LAYER_CLASS[side]}s":
                for index, part in enumerate(value):
                    yield (side, f"layers_{index}", *names), part
            else:
                index = layer.removeprefix(f"{LAYER_CLASS[side]}_")
                yield (side, f"layers_{index}", *names), value
        case ("model", ("encoder" | "decoder") as side, *rest):
            yield (side, *_replace_prefix(tuple(rest), NAMES[side])), value
        case _:
            yield leaf, value


def _replace_prefix(leaf: LeafPath, names: Mapping[LeafPath, LeafPath]) -> LeafPath:
    for theirs, ours in names.items():
        if leaf[: len(theirs)] == theirs:
            return (*ours, *leaf[len(theirs) :])
    return leaf


def _expected_shapes(
    module: DalleBart | VQGANDecoder, *inputs: jax.Array
) -> dict[LeafPath, tuple[int, ...]]:
    """Path and shape of every parameter, without allocating any."""
    init = cast(Callable[..., Mapping[str, Params]], module.init)
    tree = jax.eval_shape(init, jax.random.key(0), *inputs)["params"]
    leaves = cast(Mapping[LeafPath, jax.ShapeDtypeStruct], flatten_dict(tree))
    return {leaf: value.shape for leaf, value in leaves.items()}


def _to_device(
    path: Path,
    leaves: dict[LeafPath, np.ndarray],
    expected: Mapping[LeafPath, tuple[int, ...]],
    dtype: jnp.dtype,
) -> Params:
    for leaf in expected.keys() - leaves.keys():
        raise CheckpointError(f"{path}: {'/'.join(leaf)} is missing")
    for leaf in leaves.keys() - expected.keys():
        raise CheckpointError(f"{path}: {'/'.join(leaf)} is not a parameter of this model")
    placed: dict[LeafPath, jax.Array] = {}
    for leaf, shape in expected.items():
        value = leaves.pop(leaf)
        if value.shape != shape:
            raise CheckpointError(
                f"{path}: {'/'.join(leaf)} has shape {value.shape}, config.json asks for {shape}"
            )
        placed[leaf] = jnp.asarray(value, dtype)
    return unflatten_dict(placed)
