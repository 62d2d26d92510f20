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
from sidecar.model.sampling import SlotSampling, guide, rank
from sidecar.model.vqgan_decoder import VQGANDecoder, to_pixels
from sidecar.model.vqgan_encoder import VQGANEncoder, from_pixels
from sidecar.text import HashtagSplitter, TextNormalizer, TextProcessor

WARPS: list[dict[str, Any]] = json.loads((UPSTREAM / "warp.json").read_text("utf-8"))["settings"]
PROMPTS: list[dict[str, Any]] = json.loads((UPSTREAM / "text.json").read_text("utf-8"))["entries"]
# Prompts that upstream answers at random have several right answers.
CERTAIN_PROMPTS = [entry for entry in PROMPTS if not entry.get("random")]


class Distribution(NamedTuple):
    """Log-probabilities of every id, ours and upstream's; -inf where it cannot be drawn."""

    ours: np.ndarray
    upstreams: np.ndarray


class Images(NamedTuple):
    """The VQGAN's images of golden tokens, ours and upstream's: as numbers and as pixels."""

    decoded: np.ndarray
    upstreams_decoded: np.ndarray
    pixels: np.ndarray
    upstreams_pixels: np.ndarray


class Codes(NamedTuple):
    """The VQGAN's latents and tokens of golden images, ours and upstream's."""

    latent: np.ndarray
    upstreams_latent: np.ndarray
    tokens: np.ndarray
    upstreams_tokens: np.ndarray


@cache
def warp_arrays() -> dict[str, jax.Array]:
    """The golden logits and log-probabilities of `WARPS`."""
    return read_arrays(UPSTREAM / "warp.npz")


def warp(case: dict[str, Any]) -> Distribution:
    """What is sampled from with the settings of one of `WARPS`."""
    arrays = warp_arrays()
    conditional = arrays[f"cond_{case['logits']}"]
    slots, vocabulary = conditional.shape
    settings = _settings_of(case, slots)
    guided = guide(conditional, arrays[f"uncond_{case['logits']}"], settings.cond_scale)
    values, ids = rank(guided, settings, vocabulary)
    by_id = np.full((slots, vocabulary), -np.inf)
    np.put_along_axis(by_id, np.asarray(ids), np.asarray(jax.nn.log_softmax(values)), axis=1)
    return Distribution(by_id, np.asarray(arrays[f"logprobs_{case['key']}"]))


@cache
def draw_images(size: str = "") -> Images:
    """Decode the golden tokens; `size` is "" for 8 x 8 tokens and "_16" for 4 x 4."""
    config = open_checkpoint(model_folder("mini-scan"), VQGAN_FOLDER).vqgan_config
    params, _ = load_vqgan(VQGAN_FOLDER, config)
    want = golden("vqgan")
    decoded = jax.jit(VQGANDecoder(config).apply)({"params": params}, want[f"codes{size}"])
    upstreams = np.asarray(want[f"decoded{size}"]), np.asarray(want[f"pixels{size}"])
    return Images(np.asarray(decoded), upstreams[0], np.asarray(to_pixels(decoded)), upstreams[1])


@cache
def encode_images() -> Codes:
    """Encode the golden images."""
    config = open_checkpoint(model_folder("mini-scan"), VQGAN_FOLDER).vqgan_config
    params, _ = load_vqgan_encoder(VQGAN_FOLDER, config)
    want = golden("vqgan")
    encoder = VQGANEncoder(config)

    @jax.jit
    def encode(params: Params, image: jax.Array) -> tuple[jax.Array, jax.Array]:
        latent = apply(encoder, params, image, method=VQGANEncoder.latent)
        return latent, apply(encoder, params, image)

    latent, tokens = encode(params, from_pixels(want["encode_pixels"]))
    upstreams = np.asarray(want["encode_latent"]), np.asarray(want["encode_indices"])
    return Codes(np.asarray(latent), upstreams[0], np.asarray(tokens), upstreams[1])


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
