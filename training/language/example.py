"""What training reads: a sentence and the picture that it describes."""

from dataclasses import dataclass

from training.world.scenes import Scene


@dataclass(frozen=True)
class Example:
    """A sentence (lower case) and the scene drawn for it."""

    caption: str
    scene: Scene
