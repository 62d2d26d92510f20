"""From the places of a checkpoint to a checkpoint in memory that makes engines and requests."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp

from sidecar.checkpoint.folder import CheckpointFolders, load_weights, open_checkpoint, open_text
from sidecar.checkpoint.memory_check import check_memory
from sidecar.checkpoint.weights import Weights
from sidecar.engine.engine import Engine, SlotRequest
from sidecar.hub.address import HubAddress, is_hub_address
from sidecar.text import TextProcessor
from sidecar.wire.messages import SamplingSettings


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose weights are on the device."""

    found: CheckpointFolders
    text: TextProcessor
    weights: Weights

    def create_engine(self, *, slots: int, chunk_tokens: int) -> Engine:
        """An engine with that many free slots; nothing is compiled yet."""
        empty = self.text.unconditional()
        return Engine(
            self.found.config,
            self.found.vqgan_config,
            self.weights,
            (empty.ids, empty.mask),
            sampling=self.found.sampling,
            slots=slots,
            chunk_tokens=chunk_tokens,
        )

    def create_request(
        self, task_id: str, prompt: str, seed: int, sampling: SamplingSettings, attempt: int = 1
    ) -> SlotRequest:
        """One image of a prompt, for an engine of this checkpoint."""
        encoded = self.text.encode(prompt)
        return SlotRequest(task_id, encoded.ids, encoded.mask, seed, sampling, attempt)


def find_folders(
    checkpoint: str, vqgan: str | None, report: Callable[[int, int], None]
) -> tuple[Path, Path | None]:
    """The folders of a checkpoint and its VQGAN; what has a hub address is fetched first.

    Args:
        report: gets the bytes here and the bytes of everything that was missing.

    Raises:
        HubError: one that is not on this machine cannot be fetched.
    """
    places = [place for place in (checkpoint, vqgan) if place is not None]
    folders = {place: Path(place) for place in places}
    hub_places = [place for place in places if is_hub_address(place)]
    if hub_places:
        # Imported when there is something to fetch: it costs half a second of every start.
        from sidecar.hub.fetch import Wanted, fetch

        wanted = [
            Wanted(HubAddress.parse(place), with_tokenizer=place == checkpoint)
            for place in hub_places
        ]
        folders.update(zip(hub_places, fetch(wanted, report), strict=True))
    return folders[checkpoint], None if vqgan is None else folders[vqgan]


def load_checkpoint(
    folder: Path, vqgan_folder: Path | None = None, *, precision: str, slots: int
) -> Checkpoint:
    """Check a checkpoint, then load it.

    Args:
        vqgan_folder: None: in the checkpoint's folder or beside it.
        precision: `float32`, `bfloat16`, or `auto` for what suits the device.
        slots: of the engine, whose memory has to fit too.

    Raises:
        CheckpointNotFoundError, ConfigError, CheckpointError, TokenizerError: it cannot be served.
        MemoryInsufficientError: it does not fit; found before anything is allocated.
    """
    found = open_checkpoint(folder, vqgan_folder)
    text = open_text(found)
    dtype = _choose_dtype(precision)
    check_memory(found.config, dtype, slots=slots, device=jax.devices()[0])
    return Checkpoint(found, text, load_weights(found, dtype))


def _choose_dtype(precision: str) -> jnp.dtype:
    """bfloat16 pays where the device computes in it; a CPU emulates it."""
    if precision == "auto":
        precision = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(precision)
