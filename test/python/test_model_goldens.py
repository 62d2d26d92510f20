"""The VQGAN against upstream's answers, and scanned against unrolled; test_compatibility has the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import VQGAN_FOLDER, golden, model_folder

from sidecar.checkpoint import open_checkpoint
from sidecar.config import VQGANConfig
from sidecar.model.params import load_dallebart, load_vqgan, load_vqgan_encoder
from sidecar.model.vqgan import VQGANDecoder, to_pixels
from sidecar.model.vqgan_encoder import VQGANEncoder, from_pixels

FLOAT32 = jnp.dtype("float32")


def load(name):
    found = open_checkpoint(model_folder(name), VQGAN_FOLDER)
    return load_dallebart(found.folder, found.config, FLOAT32)[0]


def test_scanned_and_unrolled_files_hold_the_same_model():
    scanned, unrolled = load("mini-scan"), load("mini-unrolled")
    jax.tree.map(np.testing.assert_array_equal, scanned, unrolled)


@pytest.mark.parametrize("size", ["", "_16"])
def test_vqgan_pictures_are_upstreams(size):
    found = open_checkpoint(model_folder("mini-scan"), VQGAN_FOLDER)
    assert isinstance(found.vqgan_config, VQGANConfig)
    params, _ = load_vqgan(VQGAN_FOLDER, found.vqgan_config)
    want = golden("vqgan")
    draw = jax.jit(VQGANDecoder(found.vqgan_config).apply)
    decoded = draw({"params": params}, want[f"codes{size}"])
    np.testing.assert_allclose(decoded, want[f"decoded{size}"], rtol=0, atol=5e-5)
    assert_pixels_equal(to_pixels(decoded), want[f"pixels{size}"])


def test_the_vqgan_encoder_gives_upstreams_latents_and_tokens():
    config = open_checkpoint(model_folder("mini-scan"), VQGAN_FOLDER).vqgan_config
    params, _ = load_vqgan_encoder(VQGAN_FOLDER, config)
    want = golden("vqgan")
    picture = from_pixels(want["encode_pixels"])
    encoder = VQGANEncoder(config)

    @jax.jit
    def encode(params, picture):
        variables = {"params": params}
        return encoder.apply(variables, picture, method=VQGANEncoder.latent), encoder.apply(
            variables, picture
        )

    latent, tokens = encode(params, picture)
    np.testing.assert_allclose(latent, want["encode_latent"], rtol=0, atol=5e-5)
    np.testing.assert_array_equal(tokens, want["encode_indices"])


def test_pixels_are_truncated_like_upstreams_not_rounded():
    np.testing.assert_array_equal(to_pixels(jnp.array([[[0.999, -0.5, 1.5]]])), [[[254, 0, 255]]])


def assert_pixels_equal(pixels, want):
    """At most one level apart, on at most 0.1 % of the values."""
    apart = np.abs(np.asarray(pixels, int) - want)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 0.001
