"""The things of the world that Nano can draw, from concepts.txt."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

_NOT_YET = "~"


@dataclass(frozen=True)
class Concept:
    """An icon and what people call it; the first name is the usual one."""

    icon: str
    names: tuple[str, ...]
    is_learnt: bool


@cache
def load_concepts() -> tuple[Concept, ...]:
    """All concepts, in the order of the list (and of the rasterised icons)."""
    text = Path(__file__).with_name("concepts.txt").read_text("utf-8")
    return tuple(_read(line) for line in text.splitlines() if line and not line.startswith("#"))


@cache
def learnt_concepts() -> tuple[Concept, ...]:
    """Those that the sentences of training name."""
    return tuple(concept for concept in load_concepts() if concept.is_learnt)


@cache
def concept_index() -> dict[str, int]:
    """Place of each icon name in the list."""
    return {concept.icon: index for index, concept in enumerate(load_concepts())}


@cache
def letters_of_names() -> str:
    """All names in one string, without spaces."""
    return "".join(name for concept in load_concepts() for name in concept.names).replace(" ", "")


def _read(line: str) -> Concept:
    icon, names = (part.strip() for part in line.removeprefix(_NOT_YET).split("|"))
    called = tuple(name.strip() for name in names.split(","))
    return Concept(icon, called, not line.startswith(_NOT_YET))
