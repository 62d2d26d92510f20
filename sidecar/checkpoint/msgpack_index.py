"""Finds the arrays of a `flax_model.msgpack`, the format of flax/serialization.py.

The file is untrusted input. `index_leaves` walks its structure without reading any array and checks
every declared size against the file's, so that a damaged file is refused before memory is taken for
it; every failure names the file and, where there is one, the leaf. `leaf_stream.py` reads the
arrays.
"""

import math
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from sidecar.checkpoint.weight_files import CheckpointError

LeafPath = tuple[str, ...]

NDARRAY_EXTENSION = 1
LFS_POINTER = b"version https://git-lfs.github.com/"
CHUNKED_KEY = "__msgpack_chunked_array__"
DTYPES = {name: np.dtype(jnp.dtype(name)) for name in ("float32", "float16", "bfloat16")}

# Far above what a checkpoint has (upstream's largest unrolled one has about a thousand leaves).
MAX_DEPTH = 32
MAX_NODES = 100_000
MAX_TEXT_BYTES = 1024
MAX_DIMENSIONS = 8
MAX_SHOWN_LEVELS = 8

# MessagePack's type bytes: how many bytes of length follow, and for small things the length itself.
_SIZED = {
    "map": {0xDE: 2, 0xDF: 4},
    "array": {0xDC: 2, 0xDD: 4},
    "text": {0xD9: 1, 0xDA: 2, 0xDB: 4},
    "bytes": {0xC4: 1, 0xC5: 2, 0xC6: 4},
    "extension": {0xC7: 1, 0xC8: 2, 0xC9: 4},
    "integer": {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8},
}
_SMALL = {
    "map": {0x80 + size: size for size in range(16)},
    "array": {0x90 + size: size for size in range(16)},
    "text": {0xA0 + size: size for size in range(32)},
    "bytes": {},
    "extension": {0xD4 + power: 2**power for power in range(5)},
    "integer": {value: value for value in range(128)},
}
_TRUE = 0xC3


@dataclass(frozen=True)
class Leaf:
    """An array of a file: what it is and where its bytes are."""

    file: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    spans: tuple[tuple[int, int], ...]
    """Offset and length of its bytes in the file; several where flax cut it into chunks."""


def index_leaves(path: Path) -> dict[LeafPath, Leaf]:
    """All arrays of the file by their path in the tree, in the order of the file; none is read.

    Raises:
        CheckpointError: the file is missing, cut short, or not a flax parameter file.
    """
    try:
        with path.open("rb") as file:
            return _Indexer(path, _Scanner(file, path.stat().st_size)).index()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise CheckpointError(f"{path}: {reason}") from error
    except _DamageError as error:
        raise CheckpointError(f"{path}: {error}") from error


class _DamageError(Exception):
    """What is wrong with the file; `index_leaves` says which file."""


class _Scanner:
    """Reads MessagePack's headers one at a time and steps over what they announce."""

    def __init__(self, file: BufferedReader, size: int) -> None:
        self._file = file
        self.size = size
        self.position = 0

    def refuse_pointer(self) -> None:
        """What git leaves in the place of a large file that was not fetched."""
        start = self._file.read(len(LFS_POINTER))
        self._file.seek(0)
        if start == LFS_POINTER:
            raise _DamageError("a Git LFS pointer, not the file itself: run git lfs pull")

    def peek(self) -> int:
        """The next type byte."""
        kind = self._take(1)[0]
        self._file.seek(-1, 1)
        self.position -= 1
        return kind

    def header(self, kind: str) -> int:
        """Read the header of a `kind`: its length, or an integer's value."""
        first = self._take(1)[0]
        if first in _SMALL[kind]:
            return _SMALL[kind][first]
        if first not in _SIZED[kind]:
            raise _DamageError(f"not a flax parameter file (no {kind} at byte {self.position - 1})")
        return int.from_bytes(self._take(_SIZED[kind][first]), "big")

    def text(self) -> str:
        """Read a short string."""
        length = self.header("text")
        if length > MAX_TEXT_BYTES:
            raise _DamageError(f"not a flax parameter file (a name of {length} bytes)")
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise _DamageError("not a flax parameter file (a name that is not UTF-8)") from None

    def extension(self) -> tuple[int, int]:
        """Read the header of an extension: its type and where it ends."""
        length = self.header("extension")
        code = self._take(1)[0]
        self._require(length)
        return code, self.position + length

    def expect_true(self) -> None:
        """Read the value true."""
        if self._take(1)[0] != _TRUE:
            raise _DamageError(f"not a flax parameter file (no true at byte {self.position - 1})")

    def skip(self, length: int) -> None:
        """Step over `length` bytes."""
        self._require(length)
        self._file.seek(length, 1)
        self.position += length

    def _take(self, length: int) -> bytes:
        self._require(length)
        self.position += length
        data = self._file.read(length)
        if len(data) < length:
            raise _DamageError("cut short, download it again")
        return data

    def _require(self, length: int) -> None:
        if self.position + length > self.size:
            raise _DamageError("cut short, download it again")


class _Indexer:
    """Walks the tree of maps; knows how flax writes an array."""

    def __init__(self, path: Path, scanner: _Scanner) -> None:
        self._path = path
        self._scanner = scanner
        self._leaves: dict[LeafPath, Leaf] = {}
        self._nodes = 0
        self._here: LeafPath = ()

    def index(self) -> dict[LeafPath, Leaf]:
        """All leaves of the file, which must end behind the last."""
        try:
            self._scanner.refuse_pointer()
            self._walk_map(())
        except _DamageError as error:
            where = "/".join(self._here[:MAX_SHOWN_LEVELS])
            raise _DamageError(f"{where}: {error}" if where else str(error)) from None
        behind = self._scanner.size - self._scanner.position
        if behind:
            raise _DamageError(f"{behind} bytes behind the parameters")
        return self._leaves

    def _walk_map(self, prefix: LeafPath) -> None:
        if len(prefix) > MAX_DEPTH:
            raise _DamageError(f"nested deeper than {MAX_DEPTH} levels")
        count = self._scanner.header("map")
        for number in range(count):
            self._nodes += 1
            if self._nodes > MAX_NODES:
                raise _DamageError(f"more than {MAX_NODES} entries")
            key = self._scanner.text()
            if key == CHUNKED_KEY and number == 0:
                self._add(prefix, self._chunked_array())
                return
            self._here = (*prefix, key)
            self._walk_value(self._here)

    def _walk_value(self, here: LeafPath) -> None:
        kind = self._scanner.peek()
        if kind in _SMALL["map"] or kind in _SIZED["map"]:
            self._walk_map(here)
        elif kind in _SMALL["extension"] or kind in _SIZED["extension"]:
            self._add(here, self._array())
        else:
            raise _DamageError(f"expected an array (type byte {kind:#04x})")

    def _add(self, here: LeafPath, leaf: Leaf) -> None:
        if here in self._leaves:
            raise _DamageError("there twice")
        self._leaves[here] = leaf

    def _array(self) -> Leaf:
        """An extension that holds shape, dtype and bytes, again as MessagePack."""
        scanner = self._scanner
        code, end = scanner.extension()
        if code != NDARRAY_EXTENSION:
            raise _DamageError(f"extension type {code} is not an array")
        if scanner.header("array") != 3:
            raise _DamageError("an array is not shape, dtype and bytes")
        shape = self._shape(scanner.header("array"))
        name = scanner.text()
        if name not in DTYPES:
            raise _DamageError(f"dtype is {name!r}, expected {' or '.join(DTYPES)}")
        length = scanner.header("bytes")
        expected = math.prod(shape) * DTYPES[name].itemsize
        if length != expected or scanner.position + length != end:
            raise _DamageError(f"{length} bytes for shape {shape} of {name}, expected {expected}")
        span = (scanner.position, length)
        scanner.skip(length)
        return Leaf(self._path, shape, DTYPES[name], (span,))

    def _chunked_array(self) -> Leaf:
        """An array above flax's chunk limit: maps `shape` and `chunks` with the keys "0", "1"..."""
        scanner = self._scanner
        scanner.expect_true()
        self._expect_key("shape")
        shape = self._shape(scanner.header("map"), numbered=True)
        self._expect_key("chunks")
        chunks: list[Leaf] = []
        for index in range(scanner.header("map")):
            self._expect_key(str(index))
            chunks.append(self._array())
        if len({chunk.dtype for chunk in chunks}) != 1:
            raise _DamageError("chunks of no or several dtypes")
        elements = sum(math.prod(chunk.shape) for chunk in chunks)
        if elements != math.prod(shape):
            raise _DamageError(f"chunks of {elements} elements for shape {shape}")
        spans = tuple(chunk.spans[0] for chunk in chunks)
        return Leaf(self._path, shape, chunks[0].dtype, spans)

    def _shape(self, dimensions: int, *, numbered: bool = False) -> tuple[int, ...]:
        if dimensions > MAX_DIMENSIONS:
            raise _DamageError(f"an array of {dimensions} dimensions")
        sizes: list[int] = []
        for index in range(dimensions):
            if numbered:
                self._expect_key(str(index))
            sizes.append(self._scanner.header("integer"))
        return tuple(sizes)

    def _expect_key(self, key: str) -> None:
        found = self._scanner.text()
        if found != key:
            raise _DamageError(f"{found!r} where a chunked array has {key!r}")
