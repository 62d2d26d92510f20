"""Upstream's parameter trees to ours; the only file that knows upstream's parameter names.

Scanned files stack all layers of a side on axis 0, unrolled files name each layer. Both become one
internal layout, a subtree per layer: a decode step then reads every weight in place, where a scan would
copy each layer's slice out of the stack for every token.

Flax numbers a layer's modules class by class in the order of their creation. Which number a norm has thus
depends on which of the places before it have one; `upstream_names` counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from sidecar.config import ModelConfig, Side, Variant, VQGANConfig
from sidecar.model.dallebart import DalleBart
from sidecar.model.layers import NormPlace
from sidecar.model.leaf_stream import LeafStream
from sidecar.model.msgpack_file import (
    CheckpointError,
    Leaf,
    LeafPath,
    index_leaves,
)
from sidecar.model.variants import NORM_PLACES
from sidecar.model.vqgan import VQGANDecoder
from sidecar.model.vqgan_encoder import VQGANEncoder

Params = dict[str, object]

WEIGHTS_FILE = "flax_model.msgpack"
LAYER_CLASS: Mapping[Side, str] = {
    "encoder": "FlaxBartEncoderLayer",
    "decoder": "FlaxBartDecoderLayer",
}
_STACKS = frozenset(f"{name}s" for name in LAYER_CLASS.values())

# The norms and attentions of a layer in upstream's order of creation, with our names.
_LAYER_NORMS: Mapping[Side, Mapping[str, NormPlace]] = {
    "encoder": {
        "pre_attention_norm": "before attention",
        "post_attention_norm": "after attention",
        "output_norm": "after every sixth layer",
    },
    "decoder": {
        "pre_self_norm": "before attention",
        "post_self_norm": "after attention",
        "pre_cross_norm": "before attention",
        "post_cross_norm": "after attention",
        "output_norm": "after every sixth layer",
    },
}
_FEED_FORWARD_NORMS: Mapping[str, NormPlace] = {
    "norm": "before feed-forward",
    "inner_norm": "inside feed-forward",
    "outer_norm": "after feed-forward",
}
_ATTENTIONS: Mapping[Side, tuple[str, ...]] = {
    "encoder": ("attention",),
    "decoder": ("self_attention", "cross_attention"),
}

# The halves of a VQGAN file; the codebook belongs to both.
_ENCODER_HALF = frozenset({"encoder", "quant_conv"})
_DECODER_HALF = frozenset({"decoder", "post_quant_conv"})


def upstream_names(variant: Variant, side: Side) -> dict[LeafPath, LeafPath]:
    """Upstream's module names, inside a side and inside a layer of it, against ours."""
    places = NORM_PLACES[variant.ln_positions, side]
    norm_class = {"layernorm": "LayerNorm", "rmsnorm": "RMSNorm"}[variant.ln_type]

    def number_norms(norms: Mapping[str, NormPlace]) -> Iterable[tuple[str, str]]:
        present = [ours for ours, place in norms.items() if place in places]
        return ((f"{norm_class}_{number}", ours) for number, ours in enumerate(present))

    names: dict[LeafPath, LeafPath] = {
        ("final_ln",): ("final_norm",),
        ("layernorm_embedding",): ("embedding_norm",),
    }
    for theirs, ours in number_norms(_LAYER_NORMS[side]):
        names[theirs,] = (ours,)
    for number, ours in enumerate(_ATTENTIONS[side]):
        attention = f"FlaxBartAttention_{number}"
        names[attention, "mid_layernorm"] = (ours, "mid_norm")
        names[attention, "head_scale"] = (ours, "head_scale", "scale")
        names[attention,] = (ours,)
    block = "GLU_0" if variant.use_glu else "FFN_0"
    for theirs, ours in number_norms(_FEED_FORWARD_NORMS):
        names[block, theirs] = ("feed_forward", ours)
    for number, ours in enumerate(("gate", "up", "down") if variant.use_glu else ("up", "down")):
        names[block, f"Dense_{number}"] = ("feed_forward", ours)
    return names


def load_dallebart(folder: Path, config: ModelConfig, dtype: jnp.dtype) -> tuple[Params, str]:
    """Parameters of a DalleBart folder in `dtype`, in the tree that `DalleBart(config)` uses, and the
    file's sha256.

    Raises:
        CheckpointError: unreadable, or a leaf is missing, left over, of another shape or not finite.
    """
    path = folder / WEIGHTS_FILE
    leaves = index_leaves(path)
    names: dict[Side, dict[LeafPath, LeafPath]] = {
        "encoder": upstream_names(config.variant, "encoder"),
        "decoder": upstream_names(config.variant, "decoder"),
    }
    targets = {leaf: _dallebart_targets(leaf, config, names) for leaf in leaves}
    return _load(path, leaves, targets, _dallebart_shapes(config), dtype)


def load_vqgan(folder: Path, config: VQGANConfig) -> tuple[Params, str]:
    """Float32 parameters of a VQGAN folder's decoder half, for `VQGANDecoder(config)`, and the sha256.

    Raises:
        CheckpointError: as `load_dallebart`.
    """
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return _load_half(folder, _expected_shapes(VQGANDecoder(config), tokens), _ENCODER_HALF)


def load_vqgan_encoder(folder: Path, config: VQGANConfig) -> tuple[Params, str]:
    """Float32 parameters of the encoder half, for `VQGANEncoder(config)`, and the sha256.

    Raises:
        CheckpointError: as `load_dallebart`.
    """
    side = config.downsampling
    picture = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return _load_half(folder, _expected_shapes(VQGANEncoder(config), picture), _DECODER_HALF)


def _load_half(
    folder: Path, expected: Mapping[LeafPath, tuple[int, ...]], other_half: frozenset[str]
) -> tuple[Params, str]:
    path = folder / WEIGHTS_FILE
    leaves = index_leaves(path)
    targets = {leaf: [] if leaf[0] in other_half else [leaf] for leaf in leaves}
    return _load(path, leaves, targets, expected, jnp.dtype("float32"))


def _dallebart_targets(
    leaf: LeafPath, config: ModelConfig, names: Mapping[Side, Mapping[LeafPath, LeafPath]]
) -> list[LeafPath]:
    """Where in our tree a leaf of a DalleBart file belongs: one place, or one a layer if scanned."""
    match leaf:
        case ("model", ("encoder" | "decoder") as side, "layers", layer, *rest):
            inner = _replace_prefix(tuple(rest), names[side])
            if layer == f"{LAYER_CLASS[side]}s":
                return [(side, f"layers_{index}", *inner) for index in range(config.layers(side))]
            index = layer.removeprefix(f"{LAYER_CLASS[side]}_")
            return [(side, f"layers_{index}", *inner)]
        case ("model", ("encoder" | "decoder") as side, *rest):
            return [(side, *_replace_prefix(tuple(rest), names[side]))]
        case _:
            return [leaf]


def _dallebart_shapes(config: ModelConfig) -> dict[LeafPath, tuple[int, ...]]:
    """The shapes of our tree."""
    text = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    if "after every sixth layer" in NORM_PLACES[config.variant.ln_positions, "encoder"]:
        return _expected_shapes(DalleBart(config), text, text, text)
    # All other layers of a side are alike, and asking the model for one of them is ten times sooner.
    one_layer = replace(config, encoder_layers=1, decoder_layers=1)
    shapes: dict[LeafPath, tuple[int, ...]] = {}
    for leaf, shape in _expected_shapes(DalleBart(one_layer), text, text, text).items():
        match leaf:
            case ("encoder" | "decoder" as side, "layers_0", *rest):
                for index in range(config.layers(side)):
                    shapes[side, f"layers_{index}", *rest] = shape
            case _:
                shapes[leaf] = shape
    return shapes


def _replace_prefix(leaf: LeafPath, names: Mapping[LeafPath, LeafPath]) -> LeafPath:
    for theirs, ours in names.items():
        if leaf[: len(theirs)] == theirs:
            return (*ours, *leaf[len(theirs) :])
    return leaf


def _expected_shapes(
    module: nn.Module, *inputs: jax.ShapeDtypeStruct
) -> dict[LeafPath, tuple[int, ...]]:
    """Path and shape of every parameter, without allocating any."""
    tree = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    leaves = cast(Mapping[LeafPath, jax.ShapeDtypeStruct], flatten_dict(tree))
    return {leaf: value.shape for leaf, value in leaves.items()}


def _load(
    path: Path,
    leaves: Mapping[LeafPath, Leaf],
    targets: Mapping[LeafPath, list[LeafPath]],
    expected: Mapping[LeafPath, tuple[int, ...]],
    dtype: jnp.dtype,
) -> tuple[Params, str]:
    """Check everything that the index tells, then bring leaf after leaf to the device.

    Args:
        targets: for each leaf of the file its places in our tree (none: it is passed over).
        expected: the shapes of our tree.
    """
    _check_leaves(path, leaves, targets, expected)
    placed: dict[LeafPath, jax.Array] = {}
    with LeafStream(path) as stream:
        for name, leaf in leaves.items():
            if not targets[name]:
                continue
            parts = stream.read(name, leaf, expected[targets[name][0]], np.dtype(dtype))
            for target, part in zip(targets[name], parts, strict=True):
                placed[target] = jax.device_put(part)
        digest = stream.finish()
    return unflatten_dict(placed), digest


def _check_leaves(
    path: Path,
    leaves: Mapping[LeafPath, Leaf],
    targets: Mapping[LeafPath, list[LeafPath]],
    expected: Mapping[LeafPath, tuple[int, ...]],
) -> None:
    filled: set[LeafPath] = set()
    for name, leaf in leaves.items():
        for target in targets[name]:
            if target not in expected:
                raise CheckpointError(f"{path}: {'/'.join(name)} is not a parameter of this model")
            if target in filled:
                raise CheckpointError(f"{path}: {'/'.join(name)} is there twice, under two names")
            filled.add(target)
        if targets[name]:
            _check_shape(path, name, leaf, targets[name], expected[targets[name][0]])
    for target in expected.keys() - filled:
        raise CheckpointError(f"{path}: {'/'.join(target)} is missing")


def _check_shape(
    path: Path, name: LeafPath, leaf: Leaf, targets: list[LeafPath], shape: tuple[int, ...]
) -> None:
    is_stack = any(part in name for part in _STACKS)
    wanted = (len(targets), *shape) if is_stack else shape
    if leaf.shape != wanted:
        raise CheckpointError(
            f"{path}: {'/'.join(name)} has shape {leaf.shape}, config.json asks for {wanted}"
        )
