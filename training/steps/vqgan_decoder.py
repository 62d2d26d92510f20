"""Step `vqgan_decoder`: train upstream's decoder to draw the picture from the fixed tokens.

The tokens are given (step `codebook`), so this is plain regression: L1 on the pixels and on their
differences (edges). Most steps see windows of 8x8 tokens, four times cheaper; the last ones whole
pictures. Run again to go on where it stopped.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, UInt8

from sidecar.model.config import VQGANConfig
from sidecar.model.vqgan_decoder import VQGANDecoder
from training.fit.loop import Schedule, Update, step_parser, train_on
from training.fit.optimizer import apply_scaled, build_optimizer
from training.fit.params import Params, fresh_params, output
from training.fit.run import Run
from training.language.captions import ExampleSource
from training.paths import work_file
from training.steps.codebook import EMBED_DIM, Codebook
from training.world.scenes import draw
from training.world.shapes import GRID, PATCH, SIDE

SEED = 21
BATCH = 4
WINDOW = 8
WARM_UP, DECAY_SHARE = 30, 0.4
STATE = "vqgan.state"

Tokens = Int[np.ndarray, "batch tokens"]
Pixels = UInt8[np.ndarray, "batch side side 3"]


def vqgan_json(codes: int) -> dict[str, object]:
    """The `config.json` of the VQGAN folder, upstream's keys.

    64 channels at full size and not 32: the 32 groups of upstream's norm then hold two channels
    each, which can carry a colour as their difference; with one channel a group the norm removes
    what a plain picture is.
    """
    return {
        "architectures": ["del"],
        "attn_resolutions": [],
        "ch": 64,
        "ch_mult": [1, 1, 2, 2],
        "double_z": False,
        "dropout": 0.0,
        "embed_dim": EMBED_DIM,
        "give_pre_end": False,
        "in_channels": 3,
        "n_embed": codes,
        "num_res_blocks": 1,
        "num_resolutions": 4,
        "out_ch": 3,
        "resamp_with_conv": True,
        "resolution": SIDE,
        "transformers_version": "4.25.1",
        "z_channels": 64,
    }


class ImageSource:
    """Batches of tokens and the pictures they should become."""

    def __init__(self, codebook: Codebook, seed: int) -> None:
        self._codebook = codebook
        self._examples = ExampleSource(seed)
        self._random = np.random.default_rng(seed)

    def batch(self, count: int, window: int) -> tuple[Tokens, Pixels]:
        """`count` random windows of `window` x `window` tokens (GRID: whole pictures)."""
        tokens, pixels = [], []
        for _ in range(count):
            grid, image, corner = self._window(window)
            row, column = corner
            tokens.append(grid[row : row + window, column : column + window].reshape(-1))
            top, left = row * PATCH, column * PATCH
            pixels.append(image[top : top + window * PATCH, left : left + window * PATCH])
        return np.stack(tokens), np.stack(pixels)

    def _window(
        self, window: int
    ) -> tuple[Int[np.ndarray, "16 16"], UInt8[np.ndarray, "128 128 3"], tuple[int, int]]:
        """A picture and a place in it, plain places mostly passed over."""
        while True:
            scene = next(self._examples).scene
            grid = self._codebook.tokens(scene).reshape(GRID, GRID)
            row, column = (int(v) for v in self._random.integers(GRID - window + 1, size=2))
            part = grid[row : row + window, column : column + window]
            if not self._codebook.is_plain(part).all() or self._random.random() < 0.1:
                return grid, draw(scene), (row, column)


def image_loss(
    drawn: Float[Array, "B H W 3"], target: Float[Array, "B H W 3"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """L1 of pixels and of neighbour differences; and the mean squared error for the PSNR."""
    error = drawn - target
    across = jnp.abs(error[:, :, 1:] - error[:, :, :-1]).mean()
    down = jnp.abs(error[:, 1:] - error[:, :-1]).mean()
    return jnp.abs(error).mean() + 0.5 * (across + down), (error**2).mean()


def initial_params(module: VQGANDecoder, codebook: Codebook) -> Params:
    """Fresh parameters: the codebook's vectors in place, residual branches almost silent."""
    params = fresh_params(module, SEED, jnp.zeros((1, 4), jnp.int32))
    params = {**params, "quantize": {"embedding": {"embedding": jnp.asarray(codebook.embedding())}}}

    def soften(path: tuple[jax.tree_util.KeyEntry, ...], value: jax.Array) -> jax.Array:
        names = jax.tree_util.keystr(path, simple=True, separator="/")
        last_of_branch = names.endswith(("conv2/kernel", "proj_out/kernel"))
        return value * 0.1 if last_of_branch else value

    return jax.tree_util.tree_map_with_path(soften, params)


def make_step(
    module: VQGANDecoder, optimizer: optax.GradientTransformation
) -> Update[tuple[Tokens, Pixels]]:
    """One compiled update; the codebook itself is never changed."""

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Params, state: optax.OptState, batch: tuple[Tokens, Pixels], scale: jax.Array):
        tokens, pixels = batch

        def loss(trained: Params):
            drawn = output(module, {**trained, "quantize": params["quantize"]}, tokens)
            return image_loss(drawn, jnp.asarray(pixels, jnp.float32) / 255.0)

        trained = {name: value for name, value in params.items() if name != "quantize"}
        (value, squared), gradients = jax.value_and_grad(loss, has_aux=True)(trained)
        updates, state = optimizer.update(gradients, state, trained)
        trained = apply_scaled(trained, updates, scale)
        return {**trained, "quantize": params["quantize"]}, state, (value, squared)

    return step


def train(steps: int, whole_from: int, batch: int, muon_rate: float, adam_rate: float) -> None:
    """Train up to `steps`, on whole pictures from step `whole_from` on."""
    codebook = Codebook.load()
    module = VQGANDecoder(VQGANConfig.from_json(vqgan_json(codebook.size)))
    path = work_file(STATE)
    params = initial_params(module, codebook)
    trained = {name: value for name, value in params.items() if name != "quantize"}
    optimizer = build_optimizer(muon_rate, adam_rate, max_norm=1.0)
    run = Run.resume(path, params, optimizer.init(trained), ("loss", "psnr"))
    update = make_step(module, optimizer)
    source = ImageSource(codebook, SEED + run.step)

    def next_batch() -> tuple[Tokens, Pixels]:
        return source.batch(batch, GRID if run.step >= whole_from else WINDOW)

    def describe(means: list[float]) -> dict[str, float]:
        loss, error = means
        return {"loss": loss, "psnr": float(-10 * np.log10(error))}

    train_on(run, path, Schedule(steps, WARM_UP, DECAY_SHARE), update, next_batch, describe)


def main() -> None:
    """Parse the step's options and train."""
    parser = step_parser(__doc__, steps=800, batch=BATCH)
    parser.add_argument("--whole-from", type=int, default=600)
    options = parser.parse_args()
    train(options.steps, options.whole_from, options.batch, options.muon_rate, options.adam_rate)


if __name__ == "__main__":
    main()
