"""From a sidecar's configuration to a model that is compiled, warm and described in READY."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp

from sidecar.checkpoint.folder import (
    CheckpointFolders,
    Weights,
    load_weights,
    open_checkpoint,
    open_text,
)
from sidecar.checkpoint.memory_check import check_memory
from sidecar.checkpoint.sampling_defaults import SAMPLING_LIMITS
from sidecar.compute_port import Emit
from sidecar.engine.engine import Engine, SlotRequest
from sidecar.hub.address import HubAddress, is_hub_address
from sidecar.text import TextProcessor
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


@dataclass(frozen=True)
class LoadedModel:
    """What generating needs, once loading is over."""

    engine: Engine
    text: TextProcessor
    image_tokens: int


def load_model(config: SidecarConfig, emit: Emit, beat: Beat) -> LoadedModel:
    """Load, compile and warm up, telling PHASE by PHASE; ends with READY.

    Args:
        beat: called with the phase's name whenever there was progress.

    Raises:
        HubError: a checkpoint that is not on this machine cannot be fetched.
        CheckpointNotFoundError, ConfigError, CheckpointError: permanent; see `failure.classify`.
        MemoryInsufficientError: permanent too, and found before anything is allocated.
    """
    phases = _Phases(emit, beat)
    _configure_jax(config)
    folder, vqgan_folder = _find_folders(config, phases)
    with phases.measure("load"):
        phases.report(0, 2, "files")
        found = open_checkpoint(folder, vqgan_folder)
        text = open_text(found)
        dtype = _choose_precision(config.precision)
        check_memory(found.config, dtype, slots=config.slots, device=jax.devices()[0])
        weights = load_weights(found, dtype)
        phases.report(2, 2, "files")
    with phases.measure("compile"):
        empty = text.unconditional()
        engine = Engine(
            found,
            weights,
            (empty.ids, empty.mask),
            slots=config.slots,
            chunk_tokens=config.chunk_tokens,
            dtype=dtype,
        )
        engine.compile(lambda done, total: phases.report(done, total, "programs"))
    with phases.measure("warm_up"):
        _warm_up(engine, text, found, phases)
    emit(_describe(config, found, weights, dtype, phases.seconds))
    engine.compile_between()
    return LoadedModel(engine, text, found.config.image_length)


class _Phases:
    """Tells progress on the wire and to the beat, and keeps each phase's duration in seconds."""

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


def _choose_precision(asked: str) -> jnp.dtype:
    """bfloat16 pays where the device computes in it; a CPU emulates it."""
    if asked == "auto":
        asked = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(asked)


def _warm_up(
    engine: Engine, text: TextProcessor, found: CheckpointFolders, phases: _Phases
) -> None:
    """Make one whole picture: what fails only when it runs must not fail in a user's request."""
    encoded = text.encode(WARM_UP_PROMPT)
    engine.admit(SlotRequest("warm-up", encoded.ids, encoded.mask, 0, SamplingSettings()))
    while engine.running:
        drawn = sum(drawn for _, drawn in engine.progress())
        phases.report(drawn, found.config.image_length, "tokens")
        engine.step()


def _describe(
    config: SidecarConfig,
    found: CheckpointFolders,
    weights: Weights,
    dtype: jnp.dtype,
    seconds: dict[str, float],
) -> Ready:
    device = jax.devices()[0]
    memory = device.memory_stats() or {}
    return Ready(
        slots=config.slots,
        image_width=found.image_side,
        image_height=found.image_side,
        image_tokens=found.config.image_length,
        device=f"{device.platform}:{device.id} {device.device_kind}",
        memory_bytes=memory.get("bytes_limit"),
        precision="float32" if dtype == jnp.float32 else "bfloat16",
        checkpoint_hash=weights.digest,
        phase_seconds=seconds,
        sampling=Sampling(
            defaults=found.sampling,
            limits=replace(SAMPLING_LIMITS, top_k=(0, found.vqgan_config.n_embed)),
        ),
    )


def _find_folders(config: SidecarConfig, phases: _Phases) -> tuple[Path, Path | None]:
    """The folders of the checkpoint and its VQGAN; what has a hub address is fetched first."""
    places = [place for place in (config.checkpoint, config.vqgan) if place is not None]
    hub_places = [place for place in places if is_hub_address(place)]
    folders = {place: Path(place) for place in places}
    if hub_places:
        # Imported when there is something to fetch: it costs half a second of every start.
        from sidecar.hub.fetch import Wanted, fetch

        wanted = [
            Wanted(HubAddress.parse(place), with_tokenizer=place == config.checkpoint)
            for place in hub_places
        ]
        with phases.measure("download"):
            found = fetch(wanted, lambda done, total: phases.report(done, total, "bytes"))
        folders.update(zip(hub_places, found, strict=True))
    return folders[config.checkpoint], None if config.vqgan is None else folders[config.vqgan]
