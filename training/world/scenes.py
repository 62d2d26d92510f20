"""Scenes: what may stand where in a picture, how it is drawn, and what is held out."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from training.world.shapes import GRID, PATCH, SHAPES, SIDE
from training.world.sprites import Sprite, icon_sprite, shape_sprite

Rgb = tuple[int, int, int]

COLOURS: dict[str, Rgb] = {
    "red": (220, 35, 40),
    "orange": (255, 140, 0),
    "yellow": (250, 218, 45),
    "green": (40, 165, 70),
    "blue": (35, 85, 215),
    "purple": (125, 50, 180),
    "pink": (255, 135, 190),
    "brown": (120, 70, 30),
    "black": (20, 20, 22),
    "white": (250, 250, 250),
    "gray": (130, 132, 136),
    "turquoise": (50, 200, 205),
}
"""Named colours, sRGB 0..255; shapes and backgrounds share them."""

COLOUR_NAMES = tuple(COLOURS)

SHADES = (0.0, 0.14, -0.14)
"""Shades of a background: how far its colour is moved towards white (below 0: towards black)."""

_WHITE_SHARE = 0.4
"""White takes this much of a shade: more of it would be called gray."""

# Where the middle of a thing stands, in tokens from the left and from the top.
ANCHORS: dict[str, tuple[int, int]] = {
    "center": (8, 8),
    "left": (4, 8),
    "right": (12, 8),
    "top": (8, 4),
    "bottom": (8, 12),
    "top left": (4, 4),
    "top right": (12, 4),
    "bottom left": (4, 12),
    "bottom right": (12, 12),
}

SIZES = ("small", "medium", "big")

# Side of a shape in tokens: in the middle, or at one of the other places.
CENTER_CELLS = {"small": 4, "medium": 8, "big": 12}
PLACED_CELLS = {"small": 4, "medium": 6, "big": 8}


@dataclass(frozen=True)
class Thing:
    """A shape of a colour, or an icon (`colour` is None).

    `x`, `y` is its upper left corner and `cells` its side, in tokens.
    """

    name: str
    colour: str | None
    cells: int
    x: int
    y: int

    def sprite(self) -> Sprite:
        """How it looks."""
        if self.colour is None:
            return icon_sprite(self.name, self.cells)
        return shape_sprite(self.name, COLOURS[self.colour], self.cells)


@dataclass(frozen=True)
class Scene:
    """A picture as data: a plain background and things that share no token."""

    background: str
    things: tuple[Thing, ...]
    shade: int = 0


def background_rgb(colour: str, shade: int) -> Rgb:
    """A shade of a named colour, sRGB 0..255."""
    amount = SHADES[shade] * (_WHITE_SHARE if colour == "white" else 1)
    goal = 255 if amount > 0 else 0
    red, green, blue = (round(v + (goal - v) * abs(amount)) for v in COLOURS[colour])
    return red, green, blue


def is_held_out(shape: str, colour: str) -> bool:
    """True for the pairs of shape and colour that no training picture shows (one in seven)."""
    return (3 * SHAPES.index(shape) + 2 * COLOUR_NAMES.index(colour) + 2) % 7 == 0


def held_out_pairs() -> list[tuple[str, str]]:
    """All (shape, colour) pairs kept for evaluation."""
    pairs = [(shape, colour) for shape in SHAPES for colour in COLOUR_NAMES]
    return [pair for pair in pairs if is_held_out(*pair)]


def default_background(colours: list[str]) -> str:
    """The background of a sentence about shapes that names none; hides none of the colours."""
    return next(name for name in ("white", "black", "gray") if name not in colours)


def place(name: str, colour: str | None, cells: int, center: tuple[int, int]) -> Thing:
    """Put a thing with its middle at a token corner."""
    return Thing(name, colour, cells, center[0] - cells // 2, center[1] - cells // 2)


def alone(icon: str, cells: int, background: str = "white", shade: int = 0) -> Scene:
    """An icon by itself in the middle."""
    return Scene(background, (place(icon, None, cells, ANCHORS["center"]),), shade)


def draw(scene: Scene) -> UInt8[np.ndarray, "128 128 3"]:
    """The picture of a scene, antialiased, RGB."""
    canvas = np.empty((SIDE, SIDE, 3), dtype=np.float32)
    canvas[:] = background_rgb(scene.background, scene.shade)
    for thing in scene.things:
        sprite = thing.sprite()
        rows = slice(thing.y * PATCH, (thing.y + thing.cells) * PATCH)
        columns = slice(thing.x * PATCH, (thing.x + thing.cells) * PATCH)
        canvas[rows, columns] *= 1 - sprite[..., 3:]
        canvas[rows, columns] += sprite[..., :3] * 255.0
    return np.rint(canvas).clip(0, 255).astype(np.uint8)


def check(scene: Scene) -> None:
    """Raise ValueError when a thing leaves the picture, meets another or has no contrast."""
    taken: Bool[np.ndarray, "16 16"] = np.zeros((GRID, GRID), dtype=bool)
    for thing in scene.things:
        if thing.colour == scene.background:
            raise ValueError(f"{thing} has the colour of its background")
        inside = 0 <= thing.x <= GRID - thing.cells and 0 <= thing.y <= GRID - thing.cells
        area = (slice(thing.y, thing.y + thing.cells), slice(thing.x, thing.x + thing.cells))
        if not inside or taken[area].any():
            raise ValueError(f"{thing} leaves the picture or overlaps another thing")
        taken[area] = True


def scenes_of(
    background: str, shape: str, colour: str, where: str | None = None, size: str | None = None
) -> list[Scene]:
    """Every scene that a sentence about a shape allows: any place or size that it leaves open."""
    scenes = []
    for anchor in [where] if where else ANCHORS:
        cells = CENTER_CELLS if anchor == "center" else PLACED_CELLS
        for named in [size] if size else SIZES:
            scene = Scene(background, (place(shape, colour, cells[named], ANCHORS[anchor]),))
            check(scene)
            scenes.append(scene)
    return scenes
