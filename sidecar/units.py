"""Bytes and seconds as people write them."""


def format_bytes(count: float | int) -> str:
    """Three digits and a decimal unit: 1.75 GB."""
    for unit in ("B", "kB", "MB"):
        if round(count) < 1000:
            return f"{count:.3g} {unit}" if count < 100 else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.3g} GB" if count < 100 else f"{count:.0f} GB"


def format_duration(seconds: float | int) -> str:
    """Seconds below two minutes, minutes below two hours, then hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
