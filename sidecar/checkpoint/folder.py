"""Finds a checkpoint's folders, reads their configs and loads their weights.

A checkpoint is a folder with DalleBart files and its VQGAN: a folder of its own, given or found
beside or inside the first. It may carry `sampling.json`, its own sampling defaults; the published
checkpoints have none and get upstream's.
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import jax.numpy as jnp
from blake3 import blake3

from sidecar.checkpoint.sampling_defaults import UPSTREAM_SAMPLING, read_sampling
from sidecar.checkpoint.weight_files import (
    INDEX_FILE,
    WEIGHTS_FILE,
    CheckpointError,
    find_weight_files,
    is_shard_name,
)
from sidecar.checkpoint.weights import Weights, load_dallebart, load_vqgan
from sidecar.model.config import ModelConfig, VQGANConfig
from sidecar.model.json_values import ConfigError
from sidecar.text import TextProcessor
from sidecar.wire.messages import SamplingSettings

Parsed = TypeVar("Parsed")

TORCH_FILES = ("*.bin", "*.safetensors", "*.pt", "*.pth", "*.ckpt")


class CheckpointNotFoundError(FileNotFoundError):
    """There is no checkpoint where one was asked for; the message says which file is missing."""


@dataclass(frozen=True)
class CheckpointFolders:
    """A checkpoint that exists and whose configs can be served; nothing is loaded yet."""

    folder: Path
    vqgan_folder: Path
    config: ModelConfig
    vqgan_config: VQGANConfig
    sampling: SamplingSettings

    @property
    def image_side(self) -> int:
        """Width and height of an image in pixels."""
        return round(self.config.image_length**0.5) * self.vqgan_config.downsampling


def open_checkpoint(folder: Path, vqgan: Path | None = None) -> CheckpointFolders:
    """Find and check everything about a checkpoint but its weights.

    Raises:
        CheckpointNotFoundError: a folder or file is missing.
        ConfigError: a config that cannot be served.
        CheckpointError: weights of another library, an index of shards that is none, or two configs
            that do not belong together.
    """
    _refuse_other_files(folder)
    config = _read(folder / "config.json", ModelConfig.from_json)
    vqgan_folder = _find_vqgan(folder, vqgan)
    vqgan_config = _read(vqgan_folder / "config.json", VQGANConfig.from_json)
    if vqgan_config.n_embed > config.image_table_rows:
        raise CheckpointError(
            f"{vqgan_folder}: a codebook of {vqgan_config.n_embed} entries, but {folder} draws "
            f"only {config.image_vocab_size} different image tokens: give the VQGAN it was trained "
            "with"
        )
    sampling = UPSTREAM_SAMPLING
    if (folder / "sampling.json").exists():
        sampling = _read(folder / "sampling.json", read_sampling)
    return CheckpointFolders(folder, vqgan_folder, config, vqgan_config, sampling)


def load_weights(found: CheckpointFolders, dtype: jnp.dtype) -> Weights:
    """Read the weights of both folders: DalleBart in `dtype`, the VQGAN in float32.

    Raises:
        CheckpointError: a file is unreadable, or does not hold what its config says.
    """
    # Side by side: memory that the process never had is slow to come by, and two threads get it
    # sooner.
    with ThreadPoolExecutor(1) as other:
        vqgan = other.submit(load_vqgan, found.vqgan_folder, found.vqgan_config)
        params, digest = load_dallebart(found.folder, found.config, dtype)
        vqgan_params, vqgan_digest = vqgan.result()
    combined = blake3(f"{digest} {vqgan_digest}".encode()).hexdigest()
    return Weights(params, vqgan_params, dtype, combined)


def open_text(found: CheckpointFolders) -> TextProcessor:
    """The tokenizer of a checkpoint, for prompts as its config wants them.

    Raises:
        TokenizerError: missing, unreadable, or one that belongs to another model.
    """
    return TextProcessor.from_checkpoint(
        found.folder,
        max_length=found.config.max_text_length,
        vocab_size=found.config.encoder_vocab_size,
        normalize=found.config.normalize_text,
    )


def _refuse_other_files(folder: Path) -> None:
    """Say what a folder without DalleBart weights holds instead, where it shows."""
    if find_weight_files(folder) is not None:
        return
    if (folder / "model_index.json").is_file():
        raise ConfigError(
            f"{folder / 'model_index.json'}: a Stable Diffusion pipeline, expected the files of a "
            "dalle-mini or dalle-mega checkpoint"
        )
    for pattern in TORCH_FILES:
        for file in sorted(folder.glob(pattern)):
            raise CheckpointError(
                f"{file}: weights of PyTorch, expected {WEIGHTS_FILE}: take the Flax files of the "
                "checkpoint"
            )
    if (folder / "config.json").is_file():
        has_shards = any(is_shard_name(file.name) for file in folder.iterdir())
        missing = INDEX_FILE if has_shards else WEIGHTS_FILE
        raise CheckpointNotFoundError(f"{folder / missing}: no such file")


def _find_vqgan(folder: Path, given: Path | None) -> Path:
    candidates = [given] if given else [folder / "vqgan", folder.parent / "vqgan"]
    for candidate in candidates:
        if (candidate / "config.json").is_file():
            return candidate
    tried = " or ".join(str(candidate) for candidate in candidates)
    raise CheckpointNotFoundError(
        f"no VQGAN: there is no config.json in {tried}; name its folder with --vqgan"
    )


def _read(path: Path, parse: Callable[[Mapping[str, object]], Parsed]) -> Parsed:
    """What `parse` makes of the JSON object in `path`; every error names the file."""
    try:
        values: object = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointNotFoundError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a JSON object")
    try:
        return parse(cast(Mapping[str, object], values))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
