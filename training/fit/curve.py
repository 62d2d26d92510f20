"""Losses of a training step over its steps, as numbers and as a picture."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw


@dataclass
class Curve:
    """Loss values by step; written as CSV and as a small PNG."""

    columns: tuple[str, ...]
    rows: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, step: int, values: Mapping[str, float]) -> str:
        """Keep one row; returns it as a progress line."""
        self.rows.append((step, *(values[name] for name in self.columns)))
        return f"step {step:5d}  " + "  ".join(
            f"{name} {values[name]:.4f}" for name in self.columns
        )

    def last(self, column: str) -> float:
        """The newest value of a column."""
        return self.rows[-1][1 + self.columns.index(column)]

    def save(self, path: Path) -> None:
        """Write `path`.csv and `path`.png."""
        with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("step", *self.columns))
            writer.writerows(self.rows)
        _plot(self.rows, self.columns).save(path.with_suffix(".png"))


_INKS = ((220, 35, 40), (35, 85, 215), (40, 165, 70), (120, 70, 30))


def _plot(rows: list[tuple[float, ...]], columns: tuple[str, ...]) -> Image.Image:
    """Each column over the steps, every column scaled to its own largest value."""
    image = Image.new("RGB", (640, 320), "white")
    pen = ImageDraw.Draw(image)
    last = max(rows[-1][0], 1)
    for index, name in enumerate(columns, start=1):
        top = max(1e-9, *(row[index] for row in rows))
        points = [(10 + 620 * row[0] / last, 310 - 290 * row[index] / top) for row in rows]
        ink = _INKS[(index - 1) % len(_INKS)]
        pen.line(points, fill=ink, width=2)
        pen.text((400, 14 * index), f"{name} (top {top:.3g}, last {rows[-1][index]:.3g})", fill=ink)
    return image
