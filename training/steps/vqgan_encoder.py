"""Step `vqgan_encoder`: fit the VQGAN's encoder to the tokens that the codebook gives a picture.

Serving prompts does not need it; with it the folder is a whole VQGAN, and pictures can become
tokens. The codes are fixed, so this is classification: of a place's distances to all codes, the one
to its own should be the smallest. Run again to go on where it stopped.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from sidecar.model.config import VQGANConfig
from sidecar.model.vqgan_encoder import VQGANEncoder, from_pixels
from training.fit.fast_math import cross_entropy
from training.fit.loop import Schedule, Update, step_parser, train_on
from training.fit.optimizer import apply_scaled, build_optimizer
from training.fit.params import Params, fresh_params, output
from training.fit.run import Run
from training.paths import work_file
from training.steps.codebook import Codebook
from training.steps.vqgan_decoder import WINDOW, ImageSource, Pixels, Tokens, vqgan_json
from training.world.shapes import GRID

SEED = 41
BATCH = 4
WARM_UP, DECAY_SHARE = 30, 0.5
STATE = "encoder.state"


def make_step(
    module: VQGANEncoder, optimizer: optax.GradientTransformation, entries: jax.Array
) -> Update[tuple[Tokens, Pixels]]:
    """One compiled update; also the share of places whose nearest code is the right one."""

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Params, state: optax.OptState, batch: tuple[Tokens, Pixels], scale: jax.Array):
        tokens, pixels = batch
        targets = jnp.asarray(tokens).reshape(-1)

        def loss(params: Params) -> tuple[jax.Array, jax.Array]:
            latent = output(module, params, from_pixels(jnp.asarray(pixels)), method="latent")
            rows = latent.reshape(-1, latent.shape[-1])
            closeness = 2 * rows @ entries.T - (entries**2).sum(-1)[None]
            agreement = (closeness.argmax(-1) == targets).mean()
            return cross_entropy(closeness, targets).mean(), agreement

        (value, agreement), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradients, state, params)
        return apply_scaled(params, updates, scale), state, (value, agreement)

    return step


def train(steps: int, whole_from: int, batch: int, muon_rate: float, adam_rate: float) -> None:
    """Train up to `steps`, on whole pictures from step `whole_from` on."""
    codebook = Codebook.load()
    module = VQGANEncoder(VQGANConfig.from_json(vqgan_json(codebook.size)))
    path = work_file(STATE)
    params = fresh_params(module, SEED, jnp.zeros((1, 64, 64, 3)))
    del params["quantize"]
    optimizer = build_optimizer(muon_rate, adam_rate, max_norm=1.0)
    run = Run.resume(path, params, optimizer.init(params), ("loss", "agreement"))
    update = make_step(module, optimizer, jnp.asarray(codebook.embedding()))
    source = ImageSource(codebook, SEED + run.step)

    def next_batch() -> tuple[Tokens, Pixels]:
        return source.batch(batch, GRID if run.step >= whole_from else WINDOW)

    def describe(means: list[float]) -> dict[str, float]:
        loss, agreement = means
        return {"loss": loss, "agreement": agreement}

    train_on(run, path, Schedule(steps, WARM_UP, DECAY_SHARE), update, next_batch, describe)


def main() -> None:
    """Parse the step's options and train."""
    parser = step_parser(__doc__, steps=1200, batch=BATCH)
    parser.add_argument("--whole-from", type=int, default=1000)
    options = parser.parse_args()
    train(options.steps, options.whole_from, options.batch, options.muon_rate, options.adam_rate)


if __name__ == "__main__":
    main()
