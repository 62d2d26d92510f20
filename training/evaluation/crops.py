"""What the judge looks at: things cut out of a picture, brought to one size."""

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8
from PIL import Image

from training.world.shapes import PATCH

CROP_SIDE = 48
_DIFFERENT = 48
"""Sum of the channels' differences (0..765) from which a pixel is not background."""

Pixels = UInt8[np.ndarray, "height width 3"]
Crop = Float[np.ndarray, "48 48 3"]


def ground_rgb(image: Pixels) -> UInt8[np.ndarray, "3"]:
    """The background: the median of the outermost two rows and columns."""
    frame = [image[:2], image[-2:], image[:, :2], image[:, -2:]]
    return np.median(np.concatenate([part.reshape(-1, 3) for part in frame]), axis=0).astype(
        np.uint8
    )


def foreground(image: Pixels, ground: UInt8[np.ndarray, "3"]) -> Bool[np.ndarray, "height width"]:
    """Which pixels are not background."""
    return np.abs(image.astype(int) - ground.astype(int)).sum(axis=-1) >= _DIFFERENT


def cut_thing(image: Pixels, ground: UInt8[np.ndarray, "3"]) -> Crop:
    """The square around all that is not background, 48 x 48, values 0..1."""
    mask = foreground(image, ground)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.broadcast_to(ground / 255.0, (CROP_SIDE, CROP_SIDE, 3)).astype(np.float32)
    side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    top = (rows[0] + rows[-1] + 1 - side) // 2
    left = (columns[0] + columns[-1] + 1 - side) // 2
    height, width, _ = image.shape
    padded = np.full((height + 2 * side, width + 2 * side, 3), ground, dtype=np.uint8)
    padded[side:-side, side:-side] = image
    square = padded[top + side : top + 2 * side, left + side : left + 2 * side]
    small = Image.fromarray(square).resize((CROP_SIDE, CROP_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.float32) / 255.0


def around(
    image: Shaped[np.ndarray, "height width *channels"], center: tuple[int, int], cells: int
) -> Shaped[np.ndarray, "side side *channels"]:
    """The square of `cells` tokens around a token corner; a view."""
    left, top = ((place - cells // 2) * PATCH for place in center)
    return image[top : top + cells * PATCH, left : left + cells * PATCH]
