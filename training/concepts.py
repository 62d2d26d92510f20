"""The things of the world that Nano can draw, from concepts.txt."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Concept:
    """An icon and what people call it; the first name is the usual one."""

    icon: str
    names: tuple[str, ...]


@cache
def load_concepts() -> tuple[Concept, ...]:
    """All concepts, in the order of the list (and of the rasterised icons)."""
    text = Path(__file__).with_name("concepts.txt").read_text("utf-8")
    return tuple(_read(line) for line in text.splitlines() if line and not line.startswith("#"))


@cache
def concept_index() -> dict[str, int]:
    """Place of each icon name in the list."""
    return {concept.icon: index for index, concept in enumerate(load_concepts())}


def _read(line: str) -> Concept:
    icon, names = (part.strip() for part in line.split("|"))
    return Concept(icon, tuple(name.strip() for name in names.split(",")))
