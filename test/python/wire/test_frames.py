"""The golden messages, decoded and encoded here; test/wire/frames.test.ts does the same."""

import base64
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from sidecar.wire.frames import (
    MAGIC,
    MAX_HEADER_BYTES,
    PROTOCOL_VERSION,
    ProtocolError,
    VersionMismatchError,
    decode_down,
    decode_up,
    encode,
)
from sidecar.wire.messages import Bye, DownMessage, Image, Message, Ping, UpMessage

FIXTURE: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "fixtures" / "wire.json").read_text("utf-8")
)
MESSAGES: list[dict[str, Any]] = FIXTURE["messages"]


def to_frame(text: str) -> bytes:
    """A frame of the fixture: text, or bytes after `base64:`."""
    return base64.b64decode(text[7:]) if text.startswith("base64:") else text.encode()


def to_frames(example: dict[str, Any]) -> list[bytes]:
    frames = [MAGIC.encode(), example["type"].encode(), json.dumps(example["header"]).encode()]
    payload = example["payload"]
    return frames if payload is None else [*frames, base64.b64decode(payload)]


def decode(frames: list[bytes]) -> Message | None:
    """Decode as the receiver of this type would."""
    down = [cls.TYPE.encode() for cls in get_args(DownMessage)]
    return decode_down(frames) if frames[1:2] and frames[1] in down else decode_up(frames)


def test_the_fixture_is_of_this_version() -> None:
    assert FIXTURE["protocolVersion"] == PROTOCOL_VERSION


def test_every_message_has_one_golden_example_with_its_direction() -> None:
    examples = [(example["direction"], example["type"]) for example in MESSAGES]
    up = [("up", cls.TYPE) for cls in get_args(UpMessage)]
    down = [("down", cls.TYPE) for cls in get_args(DownMessage)]
    assert sorted(examples) == sorted(up + down)


@pytest.mark.parametrize("example", MESSAGES, ids=lambda example: example["type"])
def test_a_golden_message_decodes_and_encodes_back(example: dict[str, Any]) -> None:
    frames = to_frames(example)
    message = decode(frames)
    assert message is not None

    encoded = encode(message)

    assert encoded[:2] == frames[:2]
    assert json.loads(encoded[2]) == example["header"]
    assert encoded[3:] == frames[3:]
    assert example["type"] == message.TYPE


@pytest.mark.parametrize("example", MESSAGES, ids=lambda example: example["type"])
def test_a_message_is_refused_by_the_side_that_sends_it(example: dict[str, Any]) -> None:
    receive = decode_down if example["direction"] == "up" else decode_up

    with pytest.raises(ProtocolError) as caught:
        receive(to_frames(example))

    assert (caught.value.message_type, caught.value.field) == (example["type"], "type")


@pytest.mark.parametrize("example", FIXTURE["malformed"], ids=lambda example: example["title"])
def test_a_malformed_message_is_refused(example: dict[str, Any]) -> None:
    expected = example["error"]

    with pytest.raises(ProtocolError) as caught:
        decode([to_frame(text) for text in example["frames"]])

    error = caught.value
    assert (error.message_type, error.field) == (expected["message"], expected["field"])
    assert error.expectation == expected["expectation"]
    assert str(error) == (
        f"malformed {expected['message']}: {expected['field']}: expected {expected['expectation']}"
    )


@pytest.mark.parametrize("example", FIXTURE["ignored"], ids=lambda example: example["title"])
def test_a_message_of_a_later_release_is_ignored(example: dict[str, Any]) -> None:
    frames = [to_frame(text) for text in example["frames"]]
    assert decode_up(frames) is None
    assert decode_down(frames) is None


def test_an_unknown_header_field_is_ignored() -> None:
    frames = [MAGIC.encode(), b"PING", b'{"sequence":1,"mood":"fine"}']

    assert decode_down(frames) == Ping(1)


def test_another_version_is_told_from_noise_with_both_versions() -> None:
    with pytest.raises(VersionMismatchError) as caught:
        decode_down([b"DALLE/7", b"WELCOME"])

    assert (caught.value.ours, caught.value.theirs) == (MAGIC, "DALLE/7")


def test_a_header_over_the_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ProtocolError, match="header: expected at most 1048576 bytes"):
        decode_up([MAGIC.encode(), b"BYE", b"[" * (MAX_HEADER_BYTES + 1)])


def test_a_header_of_endless_depth_is_refused() -> None:
    with pytest.raises(ProtocolError, match="header: expected a JSON object"):
        decode_up([MAGIC.encode(), b"BYE", b"[" * MAX_HEADER_BYTES])


def test_encode_refuses_what_the_receiver_would_refuse() -> None:
    with pytest.raises(ProtocolError, match="malformed PING: sequence"):
        encode(Ping(-1))
    with pytest.raises(ProtocolError, match="malformed IMAGE: payload"):
        encode(Image("t", 1, 2, 2, 0, 1, 1, 0.5, payload=b"short"))
    with pytest.raises(ProtocolError, match="malformed BYE: header"):
        encode(Bye("a" * MAX_HEADER_BYTES))
