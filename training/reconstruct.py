"""Step `reconstruct`: pictures through image tokens and back, PSNR of single icons and of compositions, and a grid."""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from PIL import Image

from sidecar.checkpoint import load_weights, open_checkpoint
from sidecar.model.vqgan import VQGANDecoder, to_pixels
from training.codebook import Codebook
from training.composition_captions import several_icons, two_things
from training.icon_captions import one_icon
from training.paths import CHECKPOINT, ROOT
from training.phrases import Phrases
from training.scenes import Scene, draw

SEED = 131
GRID_FILE = ROOT / "docs" / "pictures" / "reconstruction.png"
COLUMNS, ROWS = 10, 4


def icon_scenes(count: int) -> list[Scene]:
    """Pictures of one icon, as training shows them."""
    phrases = Phrases(np.random.default_rng(SEED))
    return [one_icon(phrases).scene for _ in range(count)]


def composed_scenes(count: int) -> list[Scene]:
    """Pictures of several things."""
    phrases = Phrases(np.random.default_rng(SEED + 1))
    makers = (two_things, several_icons)
    return [makers[number % 2](phrases).scene for number in range(count)]


def psnr(originals: Float[np.ndarray, "*shape"], again: Float[np.ndarray, "*shape"]) -> float:
    """Peak signal-to-noise ratio in decibels, of values 0..255."""
    return float(10 * np.log10(255**2 / ((originals - again) ** 2).mean()))


def main() -> None:
    """Print the two figures and write the grid: originals above, what the tokens give below."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=CHECKPOINT)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    found = open_checkpoint(options.folder)
    weights = load_weights(found, jnp.dtype("float32"))
    module, codebook = VQGANDecoder(found.vqgan_config), Codebook.load()
    decode = jax.jit(
        lambda tokens: to_pixels(module.apply({"params": weights.vqgan_params}, tokens))
    )
    strips: list[np.ndarray] = []
    for name, scenes in (
        ("single icons", icon_scenes(options.count)),
        ("compositions", composed_scenes(options.count)),
    ):
        originals = np.stack([draw(scene) for scene in scenes])
        again = np.concatenate([decode(codebook.tokens(scene)[None]) for scene in scenes])
        value = psnr(originals.astype(np.float64), again.astype(np.float64))
        print(f"{options.count} {name}: {value:.1f} dB", flush=True)
        for start in range(0, COLUMNS * ROWS // 2, COLUMNS):
            chosen = slice(start, start + COLUMNS)
            strips += [np.concatenate(list(rows[chosen]), axis=1) for rows in (originals, again)]
    Image.fromarray(np.concatenate(strips)).save(GRID_FILE)


if __name__ == "__main__":
    main()
