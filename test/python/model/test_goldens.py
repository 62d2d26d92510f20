"""The VQGAN against upstream's answers, scanned against unrolled; test_compatibility has more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compatibility.decoding import FLOAT32, load
from compatibility.parts import draw_images, encode_images

from sidecar.model.vqgan_decoder import to_pixels


def test_scanned_and_unrolled_files_hold_the_same_model():
    scanned, unrolled = load("mini-scan", FLOAT32)[1], load("mini-unrolled", FLOAT32)[1]
    jax.tree.map(np.testing.assert_array_equal, scanned, unrolled)


@pytest.mark.parametrize("size", ["", "_16"])
def test_vqgan_images_are_upstreams(size):
    decoded, pixels = draw_images(size)
    np.testing.assert_allclose(*decoded, rtol=0, atol=5e-5)
    assert pixels.apart.max() <= 1
    assert (pixels.apart > 0).mean() <= 0.001


def test_the_vqgan_encoder_gives_upstreams_latents_and_tokens():
    latents, tokens = encode_images()
    np.testing.assert_allclose(*latents, rtol=0, atol=5e-5)
    np.testing.assert_array_equal(*tokens)


def test_pixels_are_truncated_like_upstreams_not_rounded():
    np.testing.assert_array_equal(to_pixels(jnp.array([[[0.999, -0.5, 1.5]]])), [[[254, 0, 255]]])
