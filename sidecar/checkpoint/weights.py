"""Reads parameter files into the trees that our modules use.

Scanned and unrolled files become one internal layout, a subtree per layer: a decode step then reads
every weight in place, where a scan would copy each layer's slice out of the stack for every token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from sidecar.checkpoint.leaf_stream import LeafStream
from sidecar.checkpoint.msgpack_index import Leaf, LeafPath
from sidecar.checkpoint.names import DalleBartNames, is_stack
from sidecar.checkpoint.shards import StoredWeights, index_weights
from sidecar.checkpoint.weight_files import CheckpointError
from sidecar.model.config import ModelConfig, VQGANConfig
from sidecar.model.dallebart import DalleBart
from sidecar.model.variants import NORM_PLACES
from sidecar.model.vqgan_decoder import VQGANDecoder
from sidecar.model.vqgan_encoder import VQGANEncoder

Params = dict[str, object]

# The halves of a VQGAN file; the codebook belongs to both.
_ENCODER_HALF = frozenset({"encoder", "quant_conv"})
_DECODER_HALF = frozenset({"decoder", "post_quant_conv"})


@dataclass(frozen=True)
class Weights:
    """Parameters on the device: DalleBart's in `dtype`, those of the VQGAN's decoder in float32.

    `digest` is one BLAKE3 over the contents of all files with weights.
    """

    params: Params
    vqgan_params: Params
    dtype: jnp.dtype
    digest: str


def load_dallebart(folder: Path, config: ModelConfig, dtype: jnp.dtype) -> tuple[Params, str]:
    """Parameters of a DalleBart folder in `dtype`, in the tree that `DalleBart(config)` uses, and
    the content hash of the weights' files.

    Raises:
        CheckpointError: unreadable, or a leaf is missing, left over, of another shape or not
            finite.
    """
    stored = index_weights(folder)
    names = DalleBartNames(config)
    targets = {leaf: names.targets(leaf) for leaf in stored.leaves}
    expected = _dallebart_shapes(config)
    _check_leaves(stored.leaves, targets, expected)
    for target in _missing(targets, expected):
        theirs = names.name(target, is_scanned=any(map(is_stack, stored.leaves)))
        raise CheckpointError(f"{stored.head}: {'/'.join(theirs)} is missing")
    return _load(stored, targets, expected, dtype)


def load_vqgan(folder: Path, config: VQGANConfig) -> tuple[Params, str]:
    """Float32 parameters of a VQGAN folder's decoder half, for `VQGANDecoder(config)`, and the
    content hash.

    Raises:
        CheckpointError: as `load_dallebart`.
    """
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return _load_half(folder, _expected_shapes(VQGANDecoder(config), tokens), _ENCODER_HALF)


def load_vqgan_encoder(folder: Path, config: VQGANConfig) -> tuple[Params, str]:
    """Float32 parameters of the encoder half, for `VQGANEncoder(config)`, and the content hash.

    Raises:
        CheckpointError: as `load_dallebart`.
    """
    side = config.downsampling
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return _load_half(folder, _expected_shapes(VQGANEncoder(config), image), _DECODER_HALF)


def _load_half(
    folder: Path, expected: Mapping[LeafPath, tuple[int, ...]], other_half: frozenset[str]
) -> tuple[Params, str]:
    stored = index_weights(folder)
    targets = {leaf: [] if leaf[0] in other_half else [leaf] for leaf in stored.leaves}
    _check_leaves(stored.leaves, targets, expected)
    for target in _missing(targets, expected):
        raise CheckpointError(f"{stored.head}: {'/'.join(target)} is missing")
    return _load(stored, targets, expected, jnp.dtype("float32"))


def _dallebart_shapes(config: ModelConfig) -> dict[LeafPath, tuple[int, ...]]:
    """The shapes of our tree."""
    text = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    if "after every sixth layer" in NORM_PLACES[config.variant.ln_positions, "encoder"]:
        return _expected_shapes(DalleBart(config), text, text, text)
    # All other layers of a side are alike, and asking the model for one of them is ten times
    # sooner.
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


def _expected_shapes(
    module: nn.Module, *inputs: jax.ShapeDtypeStruct
) -> dict[LeafPath, tuple[int, ...]]:
    """Path and shape of every parameter, without allocating any."""
    tree = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    leaves = cast(Mapping[LeafPath, jax.ShapeDtypeStruct], flatten_dict(tree))
    return {leaf: value.shape for leaf, value in leaves.items()}


def _load(
    stored: StoredWeights,
    targets: Mapping[LeafPath, list[LeafPath]],
    expected: Mapping[LeafPath, tuple[int, ...]],
    dtype: jnp.dtype,
) -> tuple[Params, str]:
    """Bring leaf after leaf to the device.

    Args:
        targets: for each stored leaf its places in our tree (none: it is passed over).
        expected: the shapes of our tree.
    """
    placed: dict[LeafPath, jax.Array] = {}
    with LeafStream(stored.files) as stream:
        for name, leaf in stored.leaves.items():
            if not targets[name]:
                continue
            parts = stream.read(name, leaf, expected[targets[name][0]], np.dtype(dtype))
            for target, part in zip(targets[name], parts, strict=True):
                placed[target] = jax.device_put(part)
        digest = stream.finish()
    return unflatten_dict(placed), digest


def _missing(
    targets: Mapping[LeafPath, list[LeafPath]], expected: Mapping[LeafPath, tuple[int, ...]]
) -> list[LeafPath]:
    """The parameters of our tree that no leaf fills."""
    filled = {target for places in targets.values() for target in places}
    return sorted(expected.keys() - filled)


def _check_leaves(
    leaves: Mapping[LeafPath, Leaf],
    targets: Mapping[LeafPath, list[LeafPath]],
    expected: Mapping[LeafPath, tuple[int, ...]],
) -> None:
    """Refuse what is stored and not in our tree, or there in another shape."""
    filled: set[LeafPath] = set()
    for name, leaf in leaves.items():
        for target in targets[name]:
            if target not in expected:
                raise CheckpointError(
                    f"{leaf.file}: {'/'.join(name)} is not a parameter of this model"
                )
            if target in filled:
                raise CheckpointError(
                    f"{leaf.file}: {'/'.join(name)} is there twice, under two names"
                )
            filled.add(target)
        if targets[name]:
            _check_shape(name, leaf, targets[name], expected[targets[name][0]])


def _check_shape(
    name: LeafPath, leaf: Leaf, targets: list[LeafPath], shape: tuple[int, ...]
) -> None:
    wanted = (len(targets), *shape) if is_stack(name) else shape
    if leaf.shape != wanted:
        raise CheckpointError(
            f"{leaf.file}: {'/'.join(name)} has shape {leaf.shape}, config.json asks for {wanted}"
        )
