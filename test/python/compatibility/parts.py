"""What is compared with upstream once and not for every checkpoint: text, draws, the VQGAN."""

import json
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from support.goldens import UPSTREAM, VQGAN_FOLDER, apply, golden, model_folder, read_arrays

from sidecar.checkpoint.folder import open_checkpoint
from sidecar.checkpoint.weights import Params, load_vqgan, load_vqgan_encoder
from sidecar.model.config import VQGANConfig
from sidecar.model.sampling import SlotSampling, guide, rank
from sidecar.model.vqgan_decoder import VQGANDecoder, to_pixels
from sidecar.model.vqgan_encoder import VQGANEncoder, from_pixels
from sidecar.text import HashtagSplitter, TextNormalizer, TextProcessor

WARPS: list[dict[str, Any]] = json.loads((UPSTREAM / "warp.json").read_text("utf-8"))["settings"]
PROMPTS: list[dict[str, Any]] = json.loads((UPSTREAM / "text.json").read_text("utf-8"))["entries"]
# Prompts that upstream answers at random have several right answers.
CERTAIN_PROMPTS = [entry for entry in PROMPTS if not entry.get("random")]


class Compared(NamedTuple):
    """Two arrays that should be alike."""

    ours: np.ndarray
    upstreams: np.ndarray

    @property
    def apart(self) -> np.ndarray:
        """The absolute difference of each pair."""
        return np.abs(self.ours - self.upstreams.astype(np.float64))


def warp(case: dict[str, Any]) -> Compared:
    """Log-probabilities of every id with the settings of one of `WARPS`; -inf where there is none."""
    arrays = read_arrays(UPSTREAM / "warp.npz")
    conditional = arrays[f"cond_{case['logits']}"]
    slots, vocabulary = conditional.shape
    settings = _settings_of(case, slots)
    guided = guide(conditional, arrays[f"uncond_{case['logits']}"], settings.cond_scale)
    values, ids = rank(guided, settings, vocabulary)
    by_id = np.full((slots, vocabulary), -np.inf)
    np.put_along_axis(by_id, np.asarray(ids), np.asarray(jax.nn.log_softmax(values)), axis=1)
    return Compared(by_id, np.asarray(arrays[f"logprobs_{case['key']}"]))


@cache
def draw_images(size: str = "") -> tuple[Compared, Compared]:
    """The golden tokens as numbers and as pixels; `size` is "" for 8 x 8 and "_16" for 4 x 4."""
    config = _vqgan_config()
    params, _ = load_vqgan(VQGAN_FOLDER, config)
    want = golden("vqgan")
    decoded = jax.jit(VQGANDecoder(config).apply)({"params": params}, want[f"codes{size}"])
    return (
        _compare(decoded, want[f"decoded{size}"]),
        _compare(to_pixels(decoded), want[f"pixels{size}"]),
    )


@cache
def encode_images() -> tuple[Compared, Compared]:
    """The latents and the tokens of the golden images."""
    config = _vqgan_config()
    params, _ = load_vqgan_encoder(VQGAN_FOLDER, config)
    want = golden("vqgan")
    encoder = VQGANEncoder(config)

    @jax.jit
    def encode(params: Params, image: jax.Array) -> tuple[jax.Array, jax.Array]:
        latent = apply(encoder, params, image, method=VQGANEncoder.latent)
        return latent, apply(encoder, params, image)

    latent, tokens = encode(params, from_pixels(want["encode_pixels"]))
    return _compare(latent, want["encode_latent"]), _compare(tokens, want["encode_indices"])


def _vqgan_config() -> VQGANConfig:
    return open_checkpoint(model_folder("mini-scan"), VQGAN_FOLDER).vqgan_config


def _compare(ours: jax.Array, upstreams: jax.Array) -> Compared:
    return Compared(np.asarray(ours), np.asarray(upstreams))


def count_equal_texts() -> int:
    """How many of `CERTAIN_PROMPTS` give upstream's normalised text, ids and mask."""
    normalizer = TextNormalizer(HashtagSplitter(UPSTREAM / "enwiki-words-frequency.txt"))
    processor = TextProcessor.from_checkpoint(
        model_folder("mini-scan"), max_length=64, vocab_size=600, normalize=True
    )
    count = 0
    for entry in CERTAIN_PROMPTS:
        encoded = processor.encode(entry["prompt"])
        count += (
            normalizer.normalize(entry["prompt"]) == entry["normalized"]
            and encoded.ids.tolist() == entry["input_ids"]
            and encoded.mask.tolist() == entry["attention_mask"]
        )
    return count


def _settings_of(case: dict[str, Any], slots: int) -> SlotSampling:
    """Upstream's None means 50, 1.0 and 1.0."""

    def each(name: str, default: float, dtype: jnp.dtype) -> jax.Array:
        value = default if case[name] is None else case[name]
        return jnp.full(slots, value, dtype)

    return SlotSampling(
        each("condition_scale", 1.0, jnp.float32),
        each("temperature", 1.0, jnp.float32),
        each("top_k", 50, jnp.int32),
        each("top_p", 1.0, jnp.float32),
    )
