"""The checks of the fields of a message, each with the words in which it refuses a value.

The twin of src/wire/fields.ts, in the same order. Here a check is a reader in the annotation of a
field, `name: Annotated[str, text]`; a field without one is not of the JSON object. Keys are
camelCase in the object and snake_case here; a refusal says where in the object it happened.
"""

import dataclasses
import functools
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast, get_type_hints

_MAX_INTEGER = 2**53 - 1
_MAX_FLOAT = sys.float_info.max
_MISSING = object()

# A reader takes a JSON value and returns it as Python holds it, or raises Refusal.
Reader: TypeAlias = Callable[[Any], Any]


class Refusal(Exception):
    """A value that a reader does not take: its dotted path below the field, and the expectation."""

    def __init__(self, expectation: str, path: str = "") -> None:
        super().__init__(expectation)
        self.expectation = expectation
        self.path = path


def _matching(pattern: str, expectation: str) -> Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise Refusal(expectation)
        return value

    return read


text = _matching(r"[^\ud800-\udfff]*", "a string of well-formed Unicode")
"""Without lone surrogates."""

identifier = _matching(r"[\x21-\x7e]{1,128}", "1 to 128 printable ASCII characters")
"""A short name: of a task, of a code."""

digest = _matching(r"[0-9a-f]{64}", "64 lower-case hexadecimal digits")
"""A hash of 256 bits in hexadecimal."""


def boolean(value: Any) -> bool:
    """True or false, nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise Refusal("true or false")
    return value


def integer(low: int = 0, high: int = _MAX_INTEGER) -> Reader:
    """A whole number from `low` to `high`; 1.0 is whole too."""

    def read(value: Any) -> int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or not low <= value <= high:
            raise Refusal(f"an integer from {low} to {high}")
        return int(value)

    return read


def _finite(low: float, expectation: str) -> Reader:
    def read(value: Any) -> float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not low <= value <= _MAX_FLOAT:
            raise Refusal(expectation)
        return float(value)

    return read


number = _finite(-_MAX_FLOAT, "a finite number")
amount = _finite(0.0, "a finite number of at least 0")


def one_of(*words: str) -> Reader:
    """One of `words`."""

    def read(value: Any) -> str:
        if value not in words or not isinstance(value, str):
            raise Refusal(f"one of {', '.join(words)}")
        return value

    return read


def nullable(reader: Reader) -> Reader:
    """None, or what `reader` takes."""
    return lambda value: None if value is None else reader(value)


def range_of(reader: Reader) -> Reader:
    """A pair of values, the lowest and the highest allowed."""
    return _pair(reader, reader, "a pair [lowest, highest]")


def amounts(value: Any) -> dict[str, float]:
    """An object of amounts under free names."""
    if not isinstance(value, dict):
        raise Refusal("an object")
    items = cast("dict[str, Any]", value)
    return {key: _read_part(amount, item, key) for key, item in items.items()}


def token_counts(value: Any) -> tuple[tuple[str, int], ...]:
    """Pairs of task id and token count."""
    if not isinstance(value, (list, tuple)):
        raise Refusal("an array of [taskId, tokenCount]")
    read = _pair(identifier, integer(), "[taskId, tokenCount]")
    items = cast("Sequence[Any]", value)
    return tuple(_read_part(read, item, str(index)) for index, item in enumerate(items))


def record(cls: type[Any]) -> Reader:
    """A nested object, as the frozen dataclass `cls`."""

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Refusal("an object")
        return read_fields(cls, cast("dict[str, Any]", value))

    return read


def read_fields(cls: type[Any], header: dict[str, Any], extra: dict[str, Any] | None = None) -> Any:
    """Build `cls` from a JSON object and `extra` fields; raises Refusal for the first misfit."""
    values = {
        name: _read_part(reader, header.get(_camel(name), _MISSING), _camel(name))
        for name, reader in _readers(cls).items()
    }
    return cls(**values, **(extra or {}))


def to_json(value: Any) -> Any:
    """A message or a nested record as JSON holds it: camelCase keys, without the payload."""
    if not dataclasses.is_dataclass(value):
        return value
    return {_camel(name): to_json(getattr(value, name)) for name in _readers(type(value))}


def _pair(first: Reader, second: Reader, expectation: str) -> Reader:
    def read(value: Any) -> tuple[Any, Any]:
        if not isinstance(value, (list, tuple)) or len(cast("Sequence[Any]", value)) != 2:
            raise Refusal(expectation)
        one, other = cast("Sequence[Any]", value)
        return _read_part(first, one, "0"), _read_part(second, other, "1")

    return read


def _read_part(reader: Reader, value: Any, name: str) -> Any:
    """Read a part of a field; a refusal gets the name of the part in front of its path."""
    try:
        return reader(value)
    except Refusal as refusal:
        path = f"{name}.{refusal.path}" if refusal.path else name
        raise Refusal(refusal.expectation, path) from None


@functools.cache
def _readers(cls: type[Any]) -> dict[str, Reader]:
    """The reader of each field of the JSON object: the metadata of its annotation."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        field.name: hints[field.name].__metadata__[0]
        for field in dataclasses.fields(cls)
        if hasattr(hints[field.name], "__metadata__")
    }


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
