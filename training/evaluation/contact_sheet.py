"""Many pictures with their sentences on one sheet."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

_SIDE, _CAPTION, _GAP = 128, 34, 12


def contact_sheet(
    texts: Sequence[str],
    images: Sequence[UInt8[np.ndarray, "side side 3"]],
    right: Sequence[bool],
    columns: int = 10,
) -> Image.Image:
    """The sentences stand beneath, in red where the picture is wrong."""
    rows = -(-len(texts) // columns)
    sheet = Image.new("RGB", (columns * (_SIDE + _GAP), rows * (_SIDE + _CAPTION + _GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (text, image, good) in enumerate(zip(texts, images, right, strict=True)):
        row, column = divmod(index, columns)
        left, top = column * (_SIDE + _GAP) + 6, row * (_SIDE + _CAPTION + _GAP) + 6
        sheet.paste(Image.fromarray(image), (left, top))
        for line in range(3):
            words = text[22 * line : 22 * (line + 1)]
            place = (left, top + _SIDE + 1 + 11 * line)
            pen.text(place, words, fill="black" if good else "red", font_size=10)
    return sheet
