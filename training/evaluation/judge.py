"""Step `judge`: a classifier of icons that has seen only the source pictures, none of the model's.

Two judges look at a crop: a small convolutional network, and the nearest source picture on the same
background.
"""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import serialization
from jaxtyping import Array, Float, Int

from training.evaluation.crops import Crop, cut_thing
from training.fit.params import Params, fresh_params, output
from training.paths import work_file
from training.world.concepts import load_concepts
from training.world.scenes import COLOUR_NAMES, SHADES, alone, background_rgb, draw
from training.world.sprites import ICON_CELLS

SEED = 77
STEPS, BATCH = 1500, 64
STATE = "judge.msgpack"


class Classifier(nn.Module):
    """Three convolutions and a linear layer over 48 x 48 crops."""

    classes: int

    @nn.compact
    def __call__(self, crops: Float[Array, "B 48 48 3"]) -> Float[Array, "B classes"]:
        x = crops * 2 - 1
        for channels in (24, 48, 96):
            x = nn.relu(nn.Conv(channels, (3, 3))(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        return nn.Dense(self.classes)(x.reshape(len(x), -1))


class SourceCrops:
    """An endless stream of disturbed crops of the source pictures, with their classes."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def batch(self, count: int) -> tuple[Float[np.ndarray, "B 48 48 3"], Int[np.ndarray, "B"]]:
        """The next `count` crops."""
        labels = self._random.integers(len(load_concepts()), size=count)
        return np.stack([self._crop(int(label)) for label in labels]), labels

    def _crop(self, label: int) -> Crop:
        random = self._random
        colour = COLOUR_NAMES[random.integers(len(COLOUR_NAMES))]
        shade = int(random.integers(len(SHADES)))
        crop = source_crop(label, ICON_CELLS[random.integers(len(ICON_CELLS))], colour, shade)
        if random.random() < 0.5:
            crop = (crop + np.roll(crop, random.integers(1, 3), axis=random.integers(2))) / 2
        crop = np.roll(crop, random.integers(-2, 3, size=2), axis=(0, 1))
        noise = random.normal(0, random.uniform(0, 0.08), (6, 6, 3)).repeat(8, 0).repeat(8, 1)
        return (crop + noise).clip(0, 1).astype(np.float32)


def source_crop(label: int, cells: int, colour: str, shade: int) -> Crop:
    """A source picture as the judge would see it."""
    image = draw(alone(load_concepts()[label].icon, cells, colour, shade))
    return cut_thing(image, np.array(background_rgb(colour, shade), dtype=np.uint8))


class Judge:
    """Names what a crop shows."""

    def __init__(self) -> None:
        module = Classifier(len(load_concepts()))
        params = serialization.from_bytes(_fresh(module), work_file(STATE).read_bytes())
        self._scores = jax.jit(partial(output, module, params))

    def name(self, crop: Crop) -> str:
        """The classifier's top answer, an icon name."""
        return load_concepts()[int(self._scores(crop[None]).argmax())].icon

    def nearest(self, crop: Crop, cells: int, colour: str) -> str:
        """The icon whose source picture on that background has the most similar pixels."""
        distances = [
            ((crop - other) ** 2).mean(axis=(1, 2, 3)) for other in _references(cells, colour)
        ]
        return load_concepts()[int(np.min(distances, axis=0).argmin())].icon


@cache
def _references(cells: int, colour: str) -> list[Float[np.ndarray, "icons 48 48 3"]]:
    """All icons on each shade of a background."""
    labels = range(len(load_concepts()))
    return [
        np.stack([source_crop(label, cells, colour, shade) for label in labels])
        for shade in range(len(SHADES))
    ]


def _fresh(module: Classifier) -> Params:
    return fresh_params(module, SEED, jnp.zeros((1, 48, 48, 3)))


def main() -> None:
    """Train, and print how often the judge is right about fresh disturbed source pictures."""
    module, source = Classifier(len(load_concepts())), SourceCrops(SEED)
    params = _fresh(module)
    optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, STEPS), weight_decay=1e-3)
    state = optimizer.init(params)

    @jax.jit
    def step(params: Params, state: optax.OptState, crops: jax.Array, labels: jax.Array):
        def loss(params: Params) -> jax.Array:
            scores = output(module, params, crops)
            return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()

        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    for number in range(1, STEPS + 1):
        params, state, value = step(params, state, *source.batch(BATCH))
        if number % 250 == 0:
            print(f"step {number}  loss {float(value):.3f}", flush=True)
    work_file(STATE).write_bytes(serialization.to_bytes(params))
    fresh, labels = SourceCrops(SEED + 1).batch(700)
    answers = jax.jit(partial(output, module, params))(fresh).argmax(axis=1)
    right = float((answers == labels).mean())
    print(f"right about {right:.1%} of 700 fresh disturbed source crops")


if __name__ == "__main__":
    main()
