"""The model against answers computed by upstream's own code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import VQGAN_FOLDER, golden, model_folder

from sidecar.checkpoint import load_weights, open_checkpoint
from sidecar.config import VQGANConfig
from sidecar.model.dallebart import DalleBart
from sidecar.model.params import load_vqgan
from sidecar.model.vqgan import VQGANDecoder, to_pixels

COMPLETE = ["mini-scan", "mega-scan", "mega-fp16"]
FLOAT32 = jnp.dtype("float32")


def load(name):
    found = open_checkpoint(model_folder(name), VQGAN_FOLDER)
    return DalleBart(found.config), {"params": load_weights(found, FLOAT32).params}


@pytest.mark.parametrize("name", COMPLETE)
def test_encoder_output_is_upstreams(name):
    model, variables = load(name)
    want = golden(name)
    for rows in ("", "_uncond"):
        ids, mask = want[f"input_ids{rows}"], want[f"attention_mask{rows}"]
        hidden = model.apply(variables, ids, mask, method=DalleBart.encode)
        np.testing.assert_allclose(hidden, want[f"encoder_hidden{rows}"], rtol=0, atol=5e-5)


@pytest.mark.parametrize(
    "name", [*COMPLETE, "mini-unrolled", "variant-chunked-msgpack", "variant-hot-extra-ids"]
)
def test_teacher_forced_logits_are_upstreams(name):
    model, variables = load(name)
    want = golden(name)
    rows = len(want["logits"])
    logits = model.apply(
        variables,
        want["input_ids"][:rows],
        want["attention_mask"][:rows],
        want["decoder_input_ids"][:rows],
    )
    np.testing.assert_allclose(logits, want["logits"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", COMPLETE)
def test_cached_step_by_step_logits_are_upstreams(name):
    model, variables = load(name)
    want = golden(name)
    rows, length, _ = want["logits_cached"].shape
    ids, mask = want["input_ids"][:rows], want["attention_mask"][:rows]
    hidden = model.apply(variables, ids, mask, method=DalleBart.encode)
    cross = model.apply(variables, hidden, method=DalleBart.cross_cache)
    config = model.config
    head_width = config.d_model // config.decoder_attention_heads
    empty = jnp.zeros((rows, config.decoder_attention_heads, length, head_width))
    past = tuple((empty, empty) for _ in range(config.decoder_layers))

    @jax.jit
    def step(tokens, position, past):
        return model.apply(
            variables, tokens, position.repeat(rows), past, cross, mask.astype(bool),
            method=DalleBart.decode_step,
        )  # fmt: skip

    for place in range(length):
        logits, past = step(want["decoder_input_ids"][:rows, place], jnp.array([place]), past)
        np.testing.assert_allclose(logits, want["logits_cached"][:, place], rtol=0, atol=1e-4)


def test_scanned_and_unrolled_files_hold_the_same_model():
    (_, scanned), (_, unrolled) = load("mini-scan"), load("mini-unrolled")
    jax.tree.map(np.testing.assert_array_equal, scanned, unrolled)


@pytest.mark.parametrize("size", ["", "_16"])
def test_vqgan_pictures_are_upstreams(size):
    found = open_checkpoint(model_folder("mini-scan"), VQGAN_FOLDER)
    assert isinstance(found.vqgan_config, VQGANConfig)
    params, _ = load_vqgan(VQGAN_FOLDER, found.vqgan_config)
    want = golden("vqgan")
    decoded = VQGANDecoder(found.vqgan_config).apply({"params": params}, want[f"codes{size}"])
    np.testing.assert_allclose(decoded, want[f"decoded{size}"], rtol=0, atol=5e-5)
    assert_pixels_equal(to_pixels(decoded), want[f"pixels{size}"])


def test_pixels_are_truncated_like_upstreams_not_rounded():
    np.testing.assert_array_equal(to_pixels(jnp.array([[[0.999, -0.5, 1.5]]])), [[[254, 0, 255]]])


def assert_pixels_equal(pixels, want):
    """At most one level apart, on at most 0.1 % of the values."""
    apart = np.abs(np.asarray(pixels, int) - want)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 0.001
