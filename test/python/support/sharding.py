"""Cuts a checkpoint's weights into shards as transformers' `save_pretrained` does (from 4.22)."""

import json
from pathlib import Path
from typing import cast

import numpy as np
from flax import serialization
from flax.traverse_util import flatten_dict, unflatten_dict

WEIGHTS, INDEX = "flax_model.msgpack", "flax_model.msgpack.index.json"


def shard_name(number: int, count: int) -> str:
    """The file name of a shard, counted from one."""
    return f"flax_model-{number:05d}-of-{count:05d}.msgpack"


def cut_into_shards(folder: Path, limit: int) -> list[Path]:
    """Replace a folder's weights by shards of at most `limit` bytes of numbers, and their index.

    As upstream's, a shard starts before the leaf that would go over the limit, so that the first is
    empty where the first leaf alone does; an empty one is written and not named in the index.
    """
    weights = folder / WEIGHTS
    tree = serialization.msgpack_restore(weights.read_bytes())
    leaves = cast("dict[str, np.ndarray]", flatten_dict(tree, sep="/"))
    shards, size = [{}], 0
    for name, value in leaves.items():
        if size + value.nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = value
        size += value.nbytes
    paths = [folder / shard_name(number + 1, len(shards)) for number in range(len(shards))]
    for path, shard in zip(paths, shards, strict=True):
        path.write_bytes(serialization.to_bytes(unflatten_dict(shard, sep="/")))
    places = {name: path.name for path, shard in zip(paths, shards, strict=True) for name in shard}
    total = sum(value.nbytes for value in leaves.values())
    write_index(folder, places, metadata={"total_size": total})
    weights.unlink()
    return paths


def read_index(folder: Path) -> dict[str, str]:
    """The index's map from leaf to file."""
    return json.loads((folder / INDEX).read_text())["weight_map"]


def write_index(folder: Path, places: dict[str, str], **others: object) -> None:
    """Write an index as upstream does."""
    index = {"weight_map": places, **others}
    (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
