"""Articles and plurals of English nouns."""

from functools import cache
from typing import Any

_ALREADY_PLURAL = ("s", "fish")


@cache
def engine() -> Any:
    """What knows the rules: an `inflect.engine`."""
    # Only training/requirements.txt has it: everything else can be imported and tested without.
    import inflect  # pyright: ignore[reportMissingImports]

    return inflect.engine()


def with_article(words: str) -> str:
    """As "an apple", but "glasses"."""
    if words.split(" of ")[0].endswith(_ALREADY_PLURAL) and not words.endswith(("bus", "cactus")):
        return words
    return engine().a(words)


def plural(words: str) -> str:
    """As "slices of pizza"."""
    first, _, rest = words.partition(" of ")
    many = engine().plural_noun(first) or first
    return f"{many} of {rest}" if rest else many
