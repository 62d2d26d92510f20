"""Where each leaf of a folder's weights is: in one file, or in shards that fit their index."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecar.checkpoint.msgpack_index import Leaf, LeafPath, index_leaves
from sidecar.checkpoint.weight_files import (
    INDEX_FILE,
    WEIGHTS_FILE,
    CheckpointError,
    WeightFiles,
    find_weight_files,
)


@dataclass(frozen=True)
class StoredWeights:
    """The weights of a folder, indexed; no array is read yet."""

    head: Path
    """The file to name when something is wrong with all of them."""
    files: tuple[Path, ...]
    leaves: Mapping[LeafPath, Leaf]
    """In the order of the files."""


def index_weights(folder: Path) -> StoredWeights:
    """Find every leaf of a folder's weights.

    Raises:
        CheckpointError: a file is missing or not a flax parameter file, or the shards are not what
            the index says: a leaf is missing in its shard, in another, in two, or unknown to the
            index.
    """
    found = find_weight_files(folder)
    if found is None:
        raise CheckpointError(f"{folder / WEIGHTS_FILE}: no such file")
    places = found.leaves_of_shards
    if places is None:
        return StoredWeights(found.head, (found.head,), index_leaves(found.head))
    leaves: dict[LeafPath, Leaf] = {}
    for name, expected in sorted(places.items()):
        for leaf_path, leaf in _index_shard(folder / name, expected).items():
            if leaf_path in leaves:
                other = leaves[leaf_path].file.name
                raise CheckpointError(
                    f"{leaf.file}: {'/'.join(leaf_path)} is there twice, in {other} too"
                )
            leaves[leaf_path] = leaf
    _check_places(places, leaves)
    _refuse_forgotten_shards(found)
    return StoredWeights(found.head, tuple(found.paths), leaves)


def _index_shard(path: Path, expected: frozenset[str]) -> dict[LeafPath, Leaf]:
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file, but {INDEX_FILE} says that it holds {min(expected)} and "
            f"{len(expected) - 1} more: download it again"
        )
    leaves = index_leaves(path)
    for leaf in sorted(expected - {"/".join(leaf) for leaf in leaves}):
        raise CheckpointError(
            f"{path}: {leaf} is missing, {INDEX_FILE} says that it is in this file"
        )
    return leaves


def _check_places(places: Mapping[str, frozenset[str]], leaves: Mapping[LeafPath, Leaf]) -> None:
    """Refuse a leaf in a shard that the index does not name for it."""
    for path, leaf in leaves.items():
        name = "/".join(path)
        if name not in places[leaf.file.name]:
            raise CheckpointError(
                f"{leaf.file}: {name} is not among the weights that {INDEX_FILE} names"
            )


def _refuse_forgotten_shards(found: WeightFiles) -> None:
    """Refuse a shard of the same save that the index does not name, unless nothing is in it.

    The first is empty where upstream's first weight alone is over the limit. Shards "of" another
    number are of an earlier save.
    """
    known = {path.name for path in found.paths}
    numbers = {name.rpartition("-of-")[2] for name in known}
    for number in sorted(numbers):
        for path in sorted(found.folder.glob(f"flax_model-[0-9][0-9][0-9][0-9][0-9]-of-{number}")):
            held = [] if path.name in known else list(index_leaves(path))
            if held:
                raise CheckpointError(
                    f"{path}: {'/'.join(held[0])} is in this shard, which {INDEX_FILE} does not "
                    "name: download the index again"
                )
