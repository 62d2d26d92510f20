"""The messages between the server and the sidecar: their fields, their checks and their frames.

sidecar/wire.py and src/wire/messages.ts (each with its messages file) are one file in two languages: the
same messages in the same order, the same checks, the same words in the errors. The tests of both
read test/fixtures/wire.json, one example of each message. docs/protocol.md is the prose.
Frames, after the identity frame of ZeroMQ:

    [ "DALLE/1" ] [ TYPE ] [ JSON header, UTF-8 ] [ payload, on IMAGE only ]

An unknown TYPE is ignored and so is an unknown header field; a known TYPE with anything wrong is
refused with a ProtocolError that names the message, the field and what was expected.
"""

# Standard library only: a test holds that importing this module loads neither jax nor zmq.
import json
import re
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, overload

from sidecar.wire.fields import Refusal, load_object, read_fields, to_json
from sidecar.wire.messages import (
    Accepted,
    Beat,
    Bye,
    Cancel,
    DownMessage,
    Drain,
    Failed,
    Generate,
    Hello,
    Image,
    Message,
    Phase,
    Ping,
    Progress,
    Ready,
    Rejected,
    UpMessage,
    Welcome,
)

PROTOCOL_VERSION = 1
MAGIC = f"DALLE/{PROTOCOL_VERSION}"
MAX_HEADER_BYTES = 1024 * 1024
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
CHANNELS = 3


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


Direction: TypeAlias = Literal["up", "down"]

_UP = (Hello, Phase, Ready, Accepted, Rejected, Progress, Image, Failed, Beat, Bye)
_DOWN = (Welcome, Generate, Cancel, Ping, Drain)
MESSAGE_TYPES: dict[str, type[Any]] = {cls.TYPE: cls for cls in (*_UP, *_DOWN)}


def encode(message: Message) -> list[bytes]:
    """Turn a message into frames, checked as the receiver will check them.

    Raises:
        ProtocolError: a field of the message does not fit.
    """
    header = to_json(message)
    payload = message.payload if isinstance(message, Image) else None
    _build(type(message), header, payload)
    frame = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    _check_size(message.TYPE, "header", frame, MAX_HEADER_BYTES)
    frames = [MAGIC.encode(), message.TYPE.encode(), frame]
    return frames if payload is None else [*frames, payload]


@overload
def decode(frames: Sequence[bytes], direction: Literal["down"]) -> DownMessage | None: ...
@overload
def decode(frames: Sequence[bytes], direction: Literal["up"]) -> UpMessage | None: ...
@overload
def decode(frames: Sequence[bytes], direction: Direction | None = None) -> Message | None: ...
def decode(frames: Sequence[bytes], direction: Direction | None = None) -> Message | None:
    """Turn frames (without the identity frame) into a message; None when the type is unknown.

    With a `direction`, a message that only ever travels the other way is refused too.

    Raises:
        VersionMismatchError: frame 0 names another version of this protocol.
        ProtocolError: the frames are not of this protocol, or a known message is malformed.
    """
    if len(frames) < 2:
        raise ProtocolError("message", "frames", "a version, a type and a header")
    _check_version(frames[0])
    name = frames[1].decode("utf-8", "replace")
    cls = MESSAGE_TYPES.get(name)
    if cls is None:
        return None
    if direction is not None and (cls in _UP) != (direction == "up"):
        raise ProtocolError(name, "type", f"a message that travels {direction}")
    frame_count = 4 if cls is Image else 3
    if len(frames) != frame_count:
        raise ProtocolError(name, "frames", f"{frame_count} frames")
    _check_size(name, "header", frames[2], MAX_HEADER_BYTES)
    try:
        header = load_object(frames[2])
    except Refusal as refusal:
        raise ProtocolError(name, "header", refusal.expectation) from None
    return _build(cls, header, frames[3] if cls is Image else None)


def _check_version(frame: bytes) -> None:
    mark = frame.decode("utf-8", "replace")
    if mark == MAGIC:
        return
    if re.fullmatch(r"DALLE/[0-9]{1,9}", mark):
        raise VersionMismatchError(mark)
    raise ProtocolError("message", "version", f"{MAGIC} in the first frame")


def _check_size(name: str, field: str, frame: bytes, limit: int) -> None:
    if len(frame) > limit:
        raise ProtocolError(name, field, f"at most {limit} bytes")


def _build(cls: type[Any], header: dict[str, Any], payload: bytes | None) -> Any:
    """Build a message; the payload of an IMAGE must be as long as its width and height say."""
    extra: dict[str, Any] = {} if payload is None else {"payload": payload}
    try:
        message = read_fields(cls, header, extra)
    except Refusal as refusal:
        raise ProtocolError(cls.TYPE, refusal.path, refusal.expectation) from None
    if payload is not None and len(payload) != message.width * message.height * CHANNELS:
        raise ProtocolError(cls.TYPE, "payload", f"width * height * {CHANNELS} bytes")
    return message
