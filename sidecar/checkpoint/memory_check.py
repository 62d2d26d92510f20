"""Compares the memory that a checkpoint needs with what there is, before anything is allocated."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import jax.numpy as jnp

from sidecar.model.config import ModelConfig
from sidecar.units import format_bytes

# Programs, the VQGAN (0.2 GB in float32) and the interpreter.
OVERHEAD_BYTES = 600_000_000
# The limit of a container, in both generations of cgroups.
_LIMIT_FILES = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")


@runtime_checkable
class Device(Protocol):
    """What is asked of a JAX device here."""

    @property
    def platform(self) -> str:
        """`cpu`, `gpu`..."""
        ...

    def memory_stats(self) -> dict[str, int] | None:
        """`bytes_limit` and `bytes_in_use`, where the device counts them."""
        ...


class MemoryInsufficientError(RuntimeError):
    """The checkpoint does not fit; the message says what it needs, what there is and what to do."""


def count_parameters(config: ModelConfig) -> int:
    """Parameters of a DalleBart in the layout of the published checkpoints."""
    width = config.d_model
    # Two norms around each attention (bias; scale and bias), and the gated feed-forward.
    encoder_layer = 4 * width**2 + 3 * width + _feed_forward(width, config.encoder_ffn_dim)
    decoder_layer = 8 * width**2 + 6 * width + _feed_forward(width, config.decoder_ffn_dim)
    text_rows = config.encoder_vocab_size + config.max_text_length
    image_rows = config.image_table_rows + config.image_length
    embeddings = (text_rows + image_rows) * width
    norms = 2 * 3 * width
    head = width * config.image_table_rows
    return (
        embeddings
        + norms
        + head
        + config.encoder_layers * encoder_layer
        + config.decoder_layers * decoder_layer
    )


def count_bytes(config: ModelConfig, dtype: jnp.dtype, slots: int) -> int:
    """Bytes for the weights, the caches of all slots and everything around them."""
    cached_tokens = config.image_length + config.max_text_length
    # Keys and values, for the conditional and the unconditional row of each slot.
    cache = 4 * slots * config.decoder_layers * cached_tokens * config.d_model
    return (count_parameters(config) + cache) * dtype.itemsize + OVERHEAD_BYTES


def check_memory(config: ModelConfig, dtype: jnp.dtype, *, slots: int, device: Device) -> None:
    """Refuse a checkpoint that cannot fit.

    Raises:
        MemoryInsufficientError: it needs more than the device has free.
    """
    # XLA:CPU multiplies in float32 and holds converted weights beside the given ones: drawing a
    # image of Mega in bfloat16 takes twice the weights' bytes (bench/load.py), near to what float32
    # takes.
    held = jnp.dtype("float32") if device.platform == "cpu" else dtype
    needed = count_bytes(config, held, slots)
    free = read_free_bytes(device)
    if free is None or needed <= free:
        return
    hints = ["fewer --slots", "a smaller --model_version"]
    if dtype == jnp.float32 and device.platform != "cpu":
        hints.insert(0, "--precision bfloat16 (half of it)")
    raise MemoryInsufficientError(
        f"the model needs {format_bytes(needed)} of memory in {dtype} with {slots} slots, but "
        f"{format_bytes(free)} are free on {device.platform}: free some, or choose "
        f"{', '.join(hints)}"
    )


def read_free_bytes(device: Device, root: Path = Path("/")) -> int | None:
    """Bytes that can still be taken on a device; None when that is unknown.

    Args:
        root: where `proc` and `sys` are.
    """
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        limit = stats.get("bytes_limit")
        return None if limit is None else limit - stats.get("bytes_in_use", 0)
    rests = [_read_available(root / "proc/meminfo")]
    # What a container uses is not taken off: most of it is files that were read, and can go.
    rests += [_read_limit(root / limit) for limit in _LIMIT_FILES]
    return min((rest for rest in rests if rest is not None), default=None)


def _feed_forward(width: int, inner: int) -> int:
    return width + 3 * width * inner + inner


def _read_available(meminfo: Path) -> int | None:
    """What Linux says can be had without swapping."""
    try:
        lines = meminfo.read_text("ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _read_limit(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None  # No container, or one without a limit ("max").
