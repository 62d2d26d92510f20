"""What the transformer reads at each update: captions and image tokens, some of them damaged."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer

from training.language.captions import ExampleSource
from training.language.tokenizer import as_normalized
from training.steps.codebook import Codebook
from training.world.shapes import GRID

TEXT_LENGTH = 32
"""Tokens of a caption, the padding included."""

EMPTY_SHARE = 0.1
"""Captions that are empty, as in the unconditional pass: without them guidance would not work."""

DISTURBED_SHARE = 0.3
"""Examples whose decoder reads some wrong tokens."""

OPEN_WEIGHT = 10.0
"""How much a place counts where a thing may begin; others count 1."""


class Batch(NamedTuple):
    """What one update reads."""

    input_ids: Int[np.ndarray, "B T"]
    attention_mask: Int[np.ndarray, "B T"]
    decoder_input_ids: Int[np.ndarray, "B L"]
    targets: Int[np.ndarray, "B L"]
    counted: Bool[np.ndarray, "B L"]
    outlines: Bool[np.ndarray, "B L"]
    beginnings: Bool[np.ndarray, "B L"]
    weights: Float[np.ndarray, "B L"]


class BatchSource:
    """Endless batches of captions and image tokens; every one is new."""

    def __init__(self, codebook: Codebook, tokenizer: Tokenizer, seed: int) -> None:
        self._codebook = codebook
        self._tokenizer = tokenizer
        self._tokenizer.enable_padding(pad_id=1, pad_token="<pad>", length=TEXT_LENGTH)
        self._tokenizer.enable_truncation(TEXT_LENGTH)
        self._examples = ExampleSource(seed)
        self._random = np.random.default_rng(seed)

    def batch(self, count: int) -> Batch:
        """The next `count` examples."""
        examples = [next(self._examples) for _ in range(count)]
        empty = self._random.random(count) < EMPTY_SHARE
        pairs = zip(examples, empty, strict=True)
        texts = ["" if is_empty else as_normalized(example.caption) for example, is_empty in pairs]
        encoded = self._tokenizer.encode_batch(texts)
        targets = np.stack([self._codebook.tokens(example.scene) for example in examples])
        disturbed, damage = self._disturb(targets)
        start = np.full((count, 1), self._codebook.size, dtype=np.int32)
        outlines = ~self._codebook.is_plain(targets) & ~disturbed[:, None]
        is_open = open_places(self._codebook.is_ground(targets)) & ~disturbed[:, None]
        return Batch(
            np.array([encoding.ids for encoding in encoded], dtype=np.int32),
            np.array([encoding.attention_mask for encoding in encoded], dtype=np.int32),
            np.concatenate([start, damage[:, :-1]], axis=1),
            targets,
            np.broadcast_to(~disturbed[:, None], targets.shape),
            outlines,
            outlines & (outlines.cumsum(axis=1) == 1) & ~empty[:, None],
            np.where(is_open, OPEN_WEIGHT, 1.0).astype(np.float32),
        )

    def _disturb(
        self, targets: Int[np.ndarray, "B L"]
    ) -> tuple[Bool[np.ndarray, "B"], Int[np.ndarray, "B L"]]:
        """Which examples are disturbed, and the tokens that the decoder reads.

        What a model draws itself has faults that the tokens of true pictures never have. So that it
        does not go on with them, some examples have any share of their tokens hidden (by the start
        token) or taken from another one.
        """
        count, codes = len(targets), self._codebook.size
        disturbed = self._random.random(count) < DISTURBED_SHARE
        rates = np.where(disturbed, self._random.random(count), 0)[:, None]
        draws = self._random.random(targets.shape)
        others = np.where(draws < rates / 2, np.roll(targets, 1, axis=0), codes)
        return disturbed, np.where(draws < rates, others, targets).astype(np.int32)


def open_places(is_ground: Bool[np.ndarray, "B L"]) -> Bool[np.ndarray, "B L"]:
    """Places with only background to the left and above: where a thing may begin."""
    grid = is_ground.reshape(-1, GRID, GRID)
    padded = np.pad(grid, ((0, 0), (1, 0), (1, 1)), constant_values=True)
    above = padded[:, :-1, :-2] & padded[:, :-1, 1:-1] & padded[:, :-1, 2:]
    return (above & padded[:, 1:, :-2]).reshape(is_ground.shape)
