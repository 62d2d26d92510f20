"""Reads `flax_model.msgpack` (the format of flax/serialization.py) as a flat table of arrays.

The file is untrusted input: nothing in it is executed, declared sizes are checked against real ones, and
every failure names the file.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import jax.numpy as jnp
import msgpack
import numpy as np

LeafPath = tuple[str, ...]

NDARRAY_EXTENSION = 1
CHUNKED_KEY = "__msgpack_chunked_array__"
MAX_DEPTH = 32


class CheckpointError(ValueError):
    """A checkpoint that cannot be read; the message names the file and, where there is one, the leaf."""


class _HashingReader:
    """A file object that hashes what passes through, so that the content hash costs no second pass."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def read_leaves(path: Path) -> tuple[dict[LeafPath, np.ndarray], str]:
    """All arrays of the file by their path in the tree, and the file's sha256 in hex.

    Raises:
        CheckpointError: the file is missing, cut short, or not a flax parameter file.
    """
    try:
        with path.open("rb") as file:
            reader = _HashingReader(file)
            size = path.stat().st_size
            unpacker = msgpack.Unpacker(
                reader, ext_hook=_decode_extension, strict_map_key=True, max_buffer_size=size + 1
            )
            tree = unpacker.unpack()
            if unpacker.tell() != size:
                raise CheckpointError(
                    f"{path}: {size - unpacker.tell()} bytes behind the parameters"
                )
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except msgpack.OutOfData:
        raise CheckpointError(f"{path}: cut short, download it again") from None
    except CheckpointError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise CheckpointError(f"{path}: not a flax parameter file ({error})") from error
    if not isinstance(tree, Mapping):
        raise CheckpointError(f"{path}: not a flax parameter file (no map at the top)")
    leaves = dict(_walk(path, (), cast(Mapping[object, object], tree)))
    return leaves, reader.digest.hexdigest()


def _decode_extension(code: int, data: bytes) -> object:
    if code != NDARRAY_EXTENSION:
        raise ValueError(f"extension type {code} is not an array")
    shape, dtype_name, raw = msgpack.unpackb(data, raw=True)
    dtype = jnp.dtype(dtype_name.decode("ascii"))
    return np.frombuffer(raw, dtype).reshape(tuple(shape))


def _walk(
    path: Path, prefix: LeafPath, node: Mapping[object, object]
) -> Iterator[tuple[LeafPath, np.ndarray]]:
    if len(prefix) > MAX_DEPTH:
        raise CheckpointError(f"{path}: nested deeper than {MAX_DEPTH} levels")
    for key, value in node.items():
        here = (*prefix, str(key))
        if isinstance(value, np.ndarray):
            yield here, value
        elif isinstance(value, Mapping):
            child = cast(Mapping[object, object], value)
            if CHUNKED_KEY in child:
                yield here, _join_chunks(path, here, child)
            else:
                yield from _walk(path, here, child)
        else:
            raise CheckpointError(
                f"{path}: {'/'.join(here)} is a {type(value).__name__}, expected an array"
            )


def _join_chunks(path: Path, leaf: LeafPath, node: Mapping[object, object]) -> np.ndarray:
    """A leaf above flax's chunk limit: maps `shape` and `chunks` with the keys "0", "1", ..."""
    try:
        shape = _listed(node["shape"])
        chunks = [np.asarray(chunk).ravel() for chunk in _listed(node["chunks"])]
        return np.concatenate(chunks).reshape([int(cast(int, size)) for size in shape])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {'/'.join(leaf)} has broken chunks ({error})") from error


def _listed(value: object) -> list[object]:
    mapping = cast(Mapping[str, object], value)
    return [mapping[str(index)] for index in range(len(mapping))]
