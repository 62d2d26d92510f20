"""How long loading a checkpoint of a published size takes, and how much memory.

    PYTHONPATH=. .venv/bin/python bench/load.py Mini --precision float32
    PYTHONPATH=. .venv/bin/python bench/load.py Mega --precision bfloat16 --image 256

Makes a synthetic checkpoint in a temporary folder (1.9 GB for Mini, 10.7 GB for Mega), loads it in
a process of its own as the sidecar does, compares with reading the files once and copying their
weights, and removes it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from synthetic import CONFIGS, write_checkpoint

if TYPE_CHECKING:
    from sidecar.checkpoint.folder import CheckpointFolders, Weights

T = TypeVar("T")

PIECE_BYTES = 1 << 20
LAYER_BYTES = 11 << 20
KIB, GB = 1024, 1e9


def main() -> None:
    """Make, measure, print."""
    arguments = _read_arguments()
    os.environ["JAX_PLATFORMS"] = "cpu"
    with tempfile.TemporaryDirectory(dir=arguments.within) as folder:
        _report(arguments, Path(folder) / arguments.name)


def _report(arguments: argparse.Namespace, folder: Path) -> None:
    parameters = write_checkpoint(arguments.name, folder)
    print(f"{arguments.name}: {parameters:,} parameters in float32, as {arguments.precision}")
    _compare_times(arguments, folder, "cold")
    _compare_times(arguments, folder, "warm")
    found = _measure(folder, "warm", _load, folder, arguments.precision, arguments.image)
    weights, peak = found["weight_bytes"], found["peak_bytes"]
    print(
        f"weights {weights / GB:.3f} GB; peak memory of the process {peak / GB:.3f} GB, "
        f"{found['before_bytes'] / GB:.3f} GB of it before loading; "
        f"{peak / (1.2 * weights + 3e8):.2f} of (1.2 x weights + 300 MB)"
    )
    if arguments.image:
        print(
            f"one image of {arguments.image} tokens in {found['image_seconds']:.1f} s "
            f"after {found['compile_seconds']:.1f} s of compiling; "
            f"peak memory then {found['image_peak_bytes'] / GB:.3f} GB"
        )


def _compare_times(arguments: argparse.Namespace, folder: Path, state: str) -> None:
    reads, copies, loads = [], [], []
    for _ in range(arguments.repeats):
        reads.append(_measure(folder, state, _time_reading, folder))
        found = _measure(folder, state, _load, folder, arguments.precision)
        loads.append(found["seconds"])
        size = int(found["weight_bytes"])
        copies.append(_measure(folder, state, _time_copying, size))
    read, copy, load = median(reads), median(copies), median(loads)
    print(
        f"{state} page cache: load {load:.2f} s; read once {read:.2f} s, copy {copy:.2f} s; "
        f"{load / (1.5 * read + copy):.2f} of (1.5 x read + copy)"
    )


def _measure(folder: Path, state: str, work: Callable[..., T], *arguments: Any) -> T:
    """What `work` returns in a process of its own, the page cache being cold or warm."""
    if state == "cold":
        _drop_from_cache(_files(folder))
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(_prepare, folder).result()
        return pool.submit(work, *arguments).result()


def _prepare(folder: Path) -> None:
    """Start JAX, then let another process have, and give back, what files and weights take.

    A virtual machine gives free memory back to its host within seconds, and how long it takes to
    get it again, up to ten times as long as loading, says nothing about this program.
    """
    import jax.numpy as jnp

    jnp.zeros(()).block_until_ready()
    size = 2 * sum(file.stat().st_size for file in _files(folder))
    subprocess.run([sys.executable, "-c", f"import numpy; numpy.ones({size}, 'u1')"], check=True)


def _load(folder: Path, precision: str, image_tokens: int | None = None) -> dict[str, float]:
    """Load as the sidecar does, and draw an image where that is asked for."""
    import jax
    import jax.numpy as jnp

    from sidecar.checkpoint.folder import load_weights, open_checkpoint

    dtype = jnp.dtype(precision)
    before = _peak_bytes()
    started = time.perf_counter()
    found = open_checkpoint(folder)
    weights = jax.block_until_ready(load_weights(found, dtype))
    report = {
        "seconds": time.perf_counter() - started,
        "before_bytes": before,
        "peak_bytes": _peak_bytes(),
        "weight_bytes": sum(
            leaf.nbytes for leaf in jax.tree.leaves((weights.params, weights.vqgan_params))
        ),
    }
    if image_tokens:
        report |= _draw_image(found, weights, image_tokens)
    return report


def _draw_image(found: "CheckpointFolders", weights: "Weights", tokens: int) -> dict[str, float]:
    """Draw one image with the engine; of fewer tokens than the checkpoint's to see that it can."""
    from sidecar.checkpoint.folder import open_text
    from sidecar.loading import Checkpoint
    from sidecar.wire.messages import SamplingSettings

    params = cast("dict[str, Any]", weights.params)
    positions = params["decoder"]["embed_positions"]
    positions["embedding"] = positions["embedding"][:tokens]
    smaller = replace(found, config=replace(found.config, image_length=tokens))
    checkpoint = Checkpoint(smaller, open_text(found), weights)
    engine = checkpoint.create_engine(slots=1, chunk_tokens=16)
    started = time.perf_counter()
    engine.compile(lambda _done, _total: None)
    compiled = time.perf_counter()
    request = checkpoint.create_request("image", "a red cat", 0, SamplingSettings())
    (image,) = engine.draw_all([request])
    if image.pixels.shape != (smaller.image_side, smaller.image_side, 3):
        raise RuntimeError(f"an image of shape {image.pixels.shape}")
    return {
        "compile_seconds": compiled - started,
        "image_seconds": time.perf_counter() - compiled,
        "image_peak_bytes": _peak_bytes(),
    }


def _files(folder: Path) -> list[Path]:
    return [folder / "flax_model.msgpack", folder / "vqgan" / "flax_model.msgpack"]


def _time_reading(folder: Path) -> float:
    buffer = bytearray(PIECE_BYTES)
    started = time.perf_counter()
    for file in _files(folder):
        with file.open("rb", buffering=0) as opened:
            while opened.readinto(buffer):
                pass
    return time.perf_counter() - started


def _time_copying(size: int) -> float:
    """Seconds to copy `size` bytes into new memory, in arrays as large as a layer's."""
    source = np.ones(LAYER_BYTES, np.uint8)
    started = time.perf_counter()
    kept = [source.copy() for _ in range(-(-size // LAYER_BYTES))]
    seconds = time.perf_counter() - started
    kept.clear()
    return seconds


def _drop_from_cache(files: list[Path]) -> None:
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _peak_bytes() -> int:
    """The most memory that this program has had; `getrusage` would count its parent's too."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * KIB
    raise RuntimeError("no VmHWM in /proc/self/status")


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time loading a checkpoint.")
    parser.add_argument("name", choices=list(CONFIGS))
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument(
        "--image",
        type=int,
        metavar="TOKENS",
        help="also draw an image of that many tokens (a square)",
    )
    parser.add_argument("--repeats", type=int, default=5, help="of which the median is printed")
    parser.add_argument("--within", type=Path, help="where the temporary folder is made")
    return parser.parse_args()


if __name__ == "__main__":
    main()
