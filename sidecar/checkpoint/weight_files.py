"""Which files hold the weights of a folder: `flax_model.msgpack`, or shards that an index names.

transformers (4.22 and later, modeling_flax_utils.py) saves what is over 10 GB as shards,
`flax_model-00001-of-0000N.msgpack`, with `flax_model.msgpack.index.json` beside them. Done here as
there: the one file goes before an index, and shards that the index does not name are left alone,
for saving leaves those of an earlier save behind. The index is untrusted input, and becomes a part
of paths.

The twin of src/config/weight-files.ts.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, cast

WEIGHTS_FILE = "flax_model.msgpack"
INDEX_FILE = "flax_model.msgpack.index.json"
# Far above what a checkpoint has: an unrolled Mega's index has about a thousand lines.
MAX_INDEX_BYTES = 1 << 24
MAX_NAME_LENGTH = 256
_SHARD = re.compile(r"flax_model-[0-9]{5}-of-[0-9]{5}\.msgpack")


class CheckpointError(ValueError):
    """A checkpoint that cannot be read; the message names the file and, if it can, the leaf."""


@dataclass(frozen=True)
class WeightFiles:
    """The files that hold the weights of a folder; they need not be there."""

    folder: Path
    leaves_of_shards: Mapping[str, frozenset[str]] | None
    """What the index says each shard holds, `model/decoder/...`; None where there is no index."""

    @property
    def head(self) -> Path:
        """The file that stands for all of them in messages: the weights, or the index."""
        return self.folder / (WEIGHTS_FILE if self.leaves_of_shards is None else INDEX_FILE)

    @property
    def paths(self) -> list[Path]:
        """The weights' files in the order of their names."""
        if self.leaves_of_shards is None:
            return [self.head]
        return [self.folder / name for name in sorted(self.leaves_of_shards)]


def find_weight_files(folder: Path) -> WeightFiles | None:
    """What a folder's weights are in; None when it has neither the one file nor an index.

    Raises:
        CheckpointError: the index is not what transformers writes.
    """
    if (folder / WEIGHTS_FILE).is_file():
        return WeightFiles(folder, None)
    if (folder / INDEX_FILE).is_file():
        return WeightFiles(folder, _read_index(folder / INDEX_FILE))
    return None


def has_all_weights(folder: Path) -> bool:
    """Whether every file is there that holds weights of a folder."""
    try:
        files = find_weight_files(folder)
    except CheckpointError:
        return False
    return files is not None and all(path.is_file() for path in files.paths)


def is_shard_name(name: str) -> bool:
    """Whether a file is named as transformers names a shard; such a name leads out of no folder."""
    return _SHARD.fullmatch(name) is not None


def _read_index(path: Path) -> dict[str, frozenset[str]]:
    """The leaves of each shard."""
    try:
        size = path.stat().st_size
        if size > MAX_INDEX_BYTES:
            raise CheckpointError(
                f"{path}: an index of {size} bytes, expected at most {MAX_INDEX_BYTES}"
            )
        index: object = json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant)
    except CheckpointError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a JSON file ({error})") from error
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise CheckpointError(
            f"{path}: not the index of a sharded checkpoint, expected a JSON object with a "
            "weight_map that names the file of each weight"
        )
    leaves: dict[str, set[str]] = {}
    for leaf, name in cast(dict[str, object], places).items():
        if len(leaf) > MAX_NAME_LENGTH or not leaf.isprintable():
            raise CheckpointError(f"{path}: {_shorten(leaf)} is not the name of a weight")
        if not isinstance(name, str) or not is_shard_name(name):
            raise CheckpointError(
                f"{path}: {_shorten(leaf)} is said to be in {_shorten(name)}, expected a file of "
                "this folder, named flax_model-00001-of-00002.msgpack or alike"
            )
        leaves.setdefault(name, set()).add(leaf)
    return {name: frozenset(held) for name, held in leaves.items()}


def _refuse_constant(word: str) -> NoReturn:
    """Python reads NaN and Infinity, which are no JSON."""
    raise ValueError(f"{word} is no JSON value")


def _shorten(value: object) -> str:
    """A foreign value in one line of readable length."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
