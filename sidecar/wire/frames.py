"""Turns messages into frames and frames into messages.

src/wire and sidecar/wire are one package in two languages: frames, messages and fields, with the
same messages in the same order, the same checks and the same words in the errors. The tests of
both read test/fixtures/wire.json, one example of each message; docs/protocol.md is the prose.
Frames, after the identity frame of ZeroMQ:

    [ "DALLE/2" ] [ TYPE ] [ JSON header, UTF-8 ] [ payload, on IMAGE only ]

An unknown TYPE is ignored and so is an unknown header field; a known TYPE with anything wrong is
refused with a ProtocolError that names the message, the field and what was expected.
"""

# Standard library only: a test holds that importing this module loads neither jax nor zmq.
import json
import re
from collections.abc import Sequence
from typing import Any, Literal, NoReturn, cast, get_args

from sidecar.wire.fields import Refusal, read_fields, to_json
from sidecar.wire.messages import CHANNELS, DownMessage, Image, Message, UpMessage

PROTOCOL_VERSION = 2
MAGIC = f"DALLE/{PROTOCOL_VERSION}"
MAX_HEADER_BYTES = 1024 * 1024
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024


class ProtocolError(ValueError):
    """Frames that break the protocol: which message, which field, and what was expected there."""

    def __init__(self, message_type: str, field: str, expectation: str) -> None:
        super().__init__(f"malformed {message_type}: {field}: expected {expectation}")
        self.message_type = message_type
        self.field = field
        self.expectation = expectation


class VersionMismatchError(ProtocolError):
    """The peer speaks another version of the protocol."""

    def __init__(self, theirs: str) -> None:
        remedy = "install the server and the sidecar from one release"
        super().__init__("message", "version", f"{MAGIC}, got {theirs}; {remedy}")
        self.ours = MAGIC
        self.theirs = theirs


_TYPES: dict[str, dict[str, type[Any]]] = {
    "up": {cls.TYPE: cls for cls in get_args(UpMessage)},
    "down": {cls.TYPE: cls for cls in get_args(DownMessage)},
}


def encode(message: Message) -> list[bytes]:
    """Turn a message into frames, checked as the receiver will check them.

    Raises:
        ProtocolError: a field of the message does not fit.
    """
    header = to_json(message)
    payload = message.payload if isinstance(message, Image) else None
    _check(type(message), header, payload)
    frame = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    _check_header_size(message.TYPE, frame)
    frames = [MAGIC.encode(), message.TYPE.encode(), frame]
    return frames if payload is None else [*frames, payload]


def decode_up(frames: Sequence[bytes]) -> UpMessage | None:
    """Turn the frames of a sidecar (without the identity frame) into a message.

    Returns:
        None when the type is unknown.

    Raises:
        VersionMismatchError: frame 0 names another version of this protocol.
        ProtocolError: the frames are not of this protocol, or a known message is malformed or
            travels the other way.
    """
    return _decode("up", frames)


def decode_down(frames: Sequence[bytes]) -> DownMessage | None:
    """The same for the frames of the server."""
    return _decode("down", frames)


def _decode(direction: Literal["up", "down"], frames: Sequence[bytes]) -> Any:
    if len(frames) < 2:
        raise ProtocolError("message", "frames", "a version, a type and a header")
    _check_version(frames[0].decode("utf-8", "replace"))
    name = frames[1].decode("utf-8", "replace")
    if name not in _TYPES["up"] and name not in _TYPES["down"]:
        return None
    cls = _TYPES[direction].get(name)
    if cls is None:
        raise ProtocolError(name, "type", f"a message that travels {direction}")
    frame_count = 4 if cls is Image else 3
    if len(frames) != frame_count:
        raise ProtocolError(name, "frames", f"{frame_count} frames")
    return _check(cls, _read_header(name, frames[2]), frames[3] if cls is Image else None)


def _check_version(mark: str) -> None:
    if mark == MAGIC:
        return
    if re.fullmatch(r"DALLE/[0-9]{1,9}", mark):
        raise VersionMismatchError(mark)
    raise ProtocolError("message", "version", f"{MAGIC} in the first frame")


def _read_header(name: str, frame: bytes) -> dict[str, Any]:
    _check_header_size(name, frame)
    try:
        value = json.loads(frame.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ProtocolError(name, "header", "a JSON object in UTF-8")
    return cast("dict[str, Any]", value)


def _refuse_constant(constant: str) -> NoReturn:
    """The json module takes NaN and Infinity, which are not JSON; JSON.parse does not."""
    raise ValueError(constant)


def _check_header_size(name: str, frame: bytes) -> None:
    if len(frame) > MAX_HEADER_BYTES:
        raise ProtocolError(name, "header", f"at most {MAX_HEADER_BYTES} bytes")


def _check(cls: type[Any], header: dict[str, Any], payload: bytes | None) -> Any:
    """Build a message; the payload of an IMAGE must be as long as its width and height say."""
    extra: dict[str, Any] = {} if payload is None else {"payload": payload}
    try:
        message = read_fields(cls, header, extra)
    except Refusal as refusal:
        raise ProtocolError(cls.TYPE, refusal.path, refusal.expectation) from None
    if payload is not None and len(payload) != message.width * message.height * CHANNELS:
        raise ProtocolError(cls.TYPE, "payload", f"width * height * {CHANNELS} bytes")
    return message
