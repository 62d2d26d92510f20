"""What training reads: a sentence and the picture it tells of."""

from dataclasses import dataclass

from training.world.scenes import Scene


@dataclass(frozen=True)
class Example:
    """A sentence (lower case), the scene drawn for it, and the size and place that it names."""

    caption: str
    scene: Scene
    size: str | None = None
    where: str | None = None
