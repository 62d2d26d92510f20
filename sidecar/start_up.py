"""The start of the compute thread: download, load, compile, warm up, and say READY."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp

from sidecar.checkpoint.sampling_defaults import SAMPLING_LIMITS
from sidecar.checkpoint.weight_files import CheckpointError
from sidecar.compute_port import Emit
from sidecar.engine.engine import Engine
from sidecar.hub.address import is_hub_address
from sidecar.loading import Checkpoint, find_folders, load_checkpoint
from sidecar.wire.messages import (
    LoadPhase,
    Phase,
    Ready,
    Sampling,
    SamplingSettings,
    SidecarConfig,
)

Beat = Callable[[str], None]

WARM_UP_PROMPT = "warm up"


def start_up(config: SidecarConfig, emit: Emit, beat: Beat) -> tuple[Checkpoint, Engine]:
    """Get ready, with a PHASE message for each progress; ends with READY.

    Args:
        beat: called with the phase's name whenever there was progress.

    Raises:
        HubError: a checkpoint that is not on this machine cannot be fetched.
        CheckpointNotFoundError, ConfigError, CheckpointError, TokenizerError: permanent; see
            `failure.classify`.
        MemoryInsufficientError: permanent too, and found before anything is allocated.
    """
    phases = _Phases(emit, beat)
    _configure_jax(config)
    is_remote = any(is_hub_address(place) for place in (config.checkpoint, config.vqgan or ""))
    with phases.measure("download") if is_remote else nullcontext():
        folder, vqgan_folder = find_folders(
            config.checkpoint, config.vqgan, lambda done, total: phases.report(done, total, "bytes")
        )
    with phases.measure("load"):
        phases.report(0, 2, "files")
        checkpoint = load_checkpoint(
            folder, vqgan_folder, precision=config.precision, slots=config.slots
        )
        phases.report(2, 2, "files")
    with phases.measure("compile"):
        engine = checkpoint.create_engine(slots=config.slots, chunk_tokens=config.chunk_tokens)
        engine.compile(lambda done, total: phases.report(done, total, "programs"))
    with phases.measure("warm_up"):
        _warm_up(engine, checkpoint, phases)
    emit(_create_ready(config, checkpoint, phases.seconds))
    engine.compile_between()
    return checkpoint, engine


class _Phases:
    """Reports progress on the wire and to the beat, and keeps each phase's duration in seconds."""

    def __init__(self, emit: Emit, beat: Beat) -> None:
        self.seconds: dict[str, float] = {}
        self._emit = emit
        self._beat = beat
        self._name: LoadPhase = "load"

    @contextmanager
    def measure(self, name: LoadPhase) -> Generator[None]:
        self._name = name
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 3)

    def report(self, done: int, total: int, unit: str) -> None:
        self._beat(self._name)
        self._emit(Phase(self._name, float(done), float(total), unit))


def _configure_jax(config: SidecarConfig) -> None:
    """Settings that JAX must have before its first array."""
    if config.cache_dir is not None:
        Path(config.cache_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", config.cache_dir)
        # The defaults skip what compiles within a second: here that is half of the start.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _warm_up(engine: Engine, checkpoint: Checkpoint, phases: _Phases) -> None:
    """Make one whole image: what fails only when it runs must not fail in a user's request.

    Raises:
        CheckpointError: the model computes nonsense, which finite weights do not rule out.
    """

    def report() -> None:
        drawn = sum(drawn for _, drawn in engine.progress())
        phases.report(drawn, engine.image_length, "tokens")

    request = checkpoint.create_request("warm-up", WARM_UP_PROMPT, 0, SamplingSettings())
    for image in engine.draw_all([request], report):
        if image.unsound:
            raise CheckpointError(
                f"{' and '.join(image.unsound)} of the first image are not finite numbers or are "
                "all alike: the weights are damaged, or too large for "
                f"{checkpoint.weights.dtype}; fetch the checkpoint again, or another one"
            )


def _create_ready(
    config: SidecarConfig, checkpoint: Checkpoint, seconds: dict[str, float]
) -> Ready:
    device = jax.devices()[0]
    memory = device.memory_stats() or {}
    found, weights = checkpoint.found, checkpoint.weights
    return Ready(
        slots=config.slots,
        image_width=found.image_side,
        image_height=found.image_side,
        image_tokens=found.config.image_length,
        device=f"{device.platform}:{device.id} {device.device_kind}",
        memory_bytes=memory.get("bytes_limit"),
        precision="float32" if weights.dtype == jnp.float32 else "bfloat16",
        checkpoint_hash=weights.digest,
        phase_seconds=seconds,
        sampling=Sampling(
            defaults=found.sampling,
            limits=replace(SAMPLING_LIMITS, top_k=(0, found.vqgan_config.n_embed)),
        ),
    )
