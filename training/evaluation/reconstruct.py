"""Step `reconstruct`: pictures through the VQGAN and back, as decibels and as a grid."""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from sidecar.checkpoint.folder import load_weights, open_checkpoint
from sidecar.checkpoint.weights import load_vqgan_encoder
from sidecar.model.vqgan_decoder import VQGANDecoder, to_pixels
from sidecar.model.vqgan_encoder import VQGANEncoder, from_pixels
from training.fit.params import output
from training.language.composition_captions import several_icons, two_things
from training.language.icon_captions import one_icon
from training.language.phrases import Phrases
from training.paths import CHECKPOINT, ROOT, work_file, write_json
from training.steps.codebook import Codebook
from training.steps.model_card import Reconstruction
from training.world.scenes import Scene, draw

SEED = 131
GRID_FILE = ROOT / "docs" / "pictures" / "reconstruction.png"
COLUMNS, ROWS = 10, 4

Pixels = UInt8[np.ndarray, "batch side side 3"]


def icon_scenes(count: int) -> list[Scene]:
    """Pictures of one icon, as training shows them."""
    phrases = Phrases(np.random.default_rng(SEED))
    return [one_icon(phrases).scene for _ in range(count)]


def composed_scenes(count: int) -> list[Scene]:
    """Pictures of several things."""
    phrases = Phrases(np.random.default_rng(SEED + 1))
    makers = (two_things, several_icons)
    return [makers[number % 2](phrases).scene for number in range(count)]


def psnr(originals: Pixels, again: Pixels) -> float:
    """Peak signal-to-noise ratio in decibels, of values 0..255."""
    error = originals.astype(np.float64) - again
    return float(10 * np.log10(255**2 / (error**2).mean()))


class Reconstructor:
    """A checkpoint's VQGAN: makes a picture again, by the encoder's tokens or by given ones."""

    def __init__(self, folder: Path) -> None:
        found = open_checkpoint(folder)
        config = found.vqgan_config
        decoder_params = load_weights(found, jnp.dtype("float32")).vqgan_params
        encoder_params, _ = load_vqgan_encoder(found.vqgan_folder, config)
        encoder, decoder = VQGANEncoder(config), VQGANDecoder(config)
        self._encode = jax.jit(lambda image: output(encoder, encoder_params, image))
        self._decode = jax.jit(lambda tokens: to_pixels(output(decoder, decoder_params, tokens)))

    def from_images(self, images: Pixels) -> Pixels:
        """Each picture through the encoder and the decoder."""
        tokens = [self._encode(from_pixels(jnp.asarray(image[None]))) for image in images]
        return np.concatenate([self._decode(each) for each in tokens])

    def from_tokens(self, tokens: list[Int[np.ndarray, "tokens"]]) -> Pixels:
        """A picture of each row of tokens."""
        return np.concatenate([self._decode(each[None]) for each in tokens])


def main() -> None:
    """Print the figures and write the grid: originals above, their reconstructions below."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=CHECKPOINT)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    vqgan, codebook = Reconstructor(options.folder), Codebook.load()
    strips: list[np.ndarray] = []
    found: dict[str, dict[str, float]] = {}
    for name, scenes in (
        ("single icons", icon_scenes(options.count)),
        ("compositions", composed_scenes(options.count)),
    ):
        originals = np.stack([draw(scene) for scene in scenes])
        again = vqgan.from_images(originals)
        fixed = vqgan.from_tokens([codebook.tokens(scene) for scene in scenes])
        found[name] = {"encoder": psnr(originals, again), "codebook": psnr(originals, fixed)}
        print(f"{options.count} {name}, dB by the tokens of: {found[name]}", flush=True)
        for start in range(0, COLUMNS * ROWS // 2, COLUMNS):
            chosen = slice(start, start + COLUMNS)
            strips += [np.concatenate(list(rows[chosen]), axis=1) for rows in (originals, again)]
    GRID_FILE.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(strips)).save(GRID_FILE)
    record = Reconstruction(count=options.count, decibel=found)
    write_json(work_file("reconstruction.json"), record)


if __name__ == "__main__":
    main()
