"""Checked reading of the values of a JSON object; a refusal names key, value and expectation."""

from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

T = TypeVar("T", int, str, bool)

# Far above every checkpoint there is. A config is untrusted: a size that no file can hold is
# refused before anything is built from it.
LARGEST_SIZE = 2**24


class ConfigError(ValueError):
    """A `config.json` that cannot be served; the message names key, value and what can be."""


def read_typed(
    values: Mapping[str, object], key: str, kind: type[T], default: T | None = None
) -> T:
    """The value of `key`, which must be a `kind`; `default` where the key is absent."""
    value = values.get(key, default)
    # bool is an int in Python; `"d_model": true` is a mistake all the same.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{key} is {_shown(value)}, expected {kind.__name__}")
    return value


def read_positive(
    values: Mapping[str, object], key: str, largest: int = LARGEST_SIZE, default: int | None = None
) -> int:
    """The value of `key`: a whole number from 1 to `largest`."""
    value = read_typed(values, key, int, default)
    if value < 1:
        raise ConfigError(f"{key} is {value}, expected a positive integer")
    if value > largest:
        raise ConfigError(f"{key} is {_shown(value)}, expected at most {largest}")
    return value


def read_number(values: Mapping[str, object], key: str, default: float | None = None) -> float:
    """The value of `key`: a finite number."""
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
        raise ConfigError(f"{key} is {_shown(value)}, expected a number")
    return float(value)


def read_positives(
    values: Mapping[str, object], key: str, largest: int = LARGEST_SIZE, most: int = 16
) -> tuple[int, ...]:
    """The value of `key`: a list of at most `most` whole numbers from 1 to `largest`."""
    value = values.get(key)
    if not isinstance(value, list | tuple) or len(cast(Sequence[object], value)) > most:
        raise ConfigError(
            f"{key} is {_shown(value)}, expected a list of at most {most} positive integers"
        )
    return tuple(read_positive({key: item}, key, largest) for item in cast(Sequence[object], value))


def read_choice(
    values: Mapping[str, object], key: str, supported: Sequence[T], hint: str = ""
) -> T:
    """The value of `key`: one of `supported`, of which the first stands for an absent key.

    Args:
        hint: why only these, appended to a refusal.
    """
    value = values.get(key, supported[0])
    for one in supported:
        if type(value) is type(one) and value == one:
            return one
    raise ConfigError(
        f"{key} is {_shown(value)}, supported is {' or '.join(map(repr, supported))}{hint}: "
        "use a checkpoint with a supported value"
    )


def _shown(value: object) -> str:
    """The value as a message can hold it: one line, not longer than the message around it."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a huge number"
    return text if len(text) <= 80 else f"{text[:77]}..."
