"""Splitting of hashtags into words: "sunsetoverthelake" becomes "sunset over the lake"."""

import math
import re
from functools import cached_property
from pathlib import Path

FREQUENCY_FILE = "enwiki-words-frequency.txt"

_OUTSIDE_OF_WORDS = re.compile(r"[^a-zA-Z0-9']+")
_UNKNOWN = math.inf


class HashtagSplitter:
    """Finds the likeliest words of a text written without spaces.

    The words and their ranks come from a list of "word count" lines, the commonest word first. The
    real list is large (34 MB) and only hashtags need it: it is read at the first split. Without a
    list a hashtag stays the one word that it is.
    """

    def __init__(self, frequency_file: Path | None) -> None:
        self._frequency_file = frequency_file

    @classmethod
    def from_checkpoint(cls, folder: Path) -> "HashtagSplitter":
        """A splitter with the word list of a checkpoint folder, or without one if it has none."""
        file = folder / FREQUENCY_FILE
        return cls(file if file.is_file() else None)

    def split(self, text: str) -> str:
        """The words of `text`, joined by single spaces."""
        if self._frequency_file is None:
            return text
        runs = _OUTSIDE_OF_WORDS.split(text)
        return " ".join(word for run in runs for word in self._split_run(run))

    @cached_property
    def _costs(self) -> dict[str, float]:
        """Cost of each word: the logarithm of its rank, so that a sum of costs is a likelihood."""
        if self._frequency_file is None:
            return {}
        with self._frequency_file.open(encoding="utf-8") as lines:
            words = (line.split(maxsplit=1)[0] for line in lines if not line.isspace())
            return {word: math.log(rank) for rank, word in enumerate(words, start=1)}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._costs), default=1)

    def _split_run(self, run: str) -> list[str]:
        """The cheapest sequence of words for a run of letters, digits and apostrophes.

        From the first character on that no known word covers, all sequences cost the same
        (infinity); then the shortest last word wins, so that the rest falls into single letters.
        """
        cost_to: list[float] = [0.0]
        last_word_to: list[int] = [0]
        for end in range(1, len(run) + 1):
            lengths = range(1, min(end, self._longest) + 1)
            cost, length = min(
                (cost_to[end - n] + self._costs.get(run[end - n : end], _UNKNOWN), n)
                for n in lengths
            )
            cost_to.append(cost)
            last_word_to.append(length)

        words: list[str] = []
        end = len(run)
        while end > 0:
            start = end - last_word_to[end]
            words.append(run[start:end])
            end = start
        return _join_numbers(words[::-1])


def _join_numbers(words: list[str]) -> list[str]:
    """Puts digits that stand side by side back into one number: 2 0 2 2 -> 2022."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1][-1].isdigit() and word[0].isdigit():
            joined[-1] += word
        else:
            joined.append(word)
    return joined
