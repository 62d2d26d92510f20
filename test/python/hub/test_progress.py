"""What is reported of a download, and how bytes and seconds are written."""

from unittest.mock import Mock

import pytest

from sidecar.hub.address import HubAddress
from sidecar.hub.errors import HubError
from sidecar.hub.progress import Progress
from sidecar.units import format_bytes, format_duration


@pytest.fixture
def clock():
    """Time that passes when a test says so."""
    return Mock(return_value=0.0)


def test_every_file_counts_and_the_end_is_always_told(clock):
    reported = []
    progress = Progress({"a": 100, "b": 50}, lambda *now: reported.append(now), clock)
    progress.set("a", 40)
    progress.start()
    progress.set("a", 60)
    clock.return_value = 1.0
    progress.set("a", 100)
    progress.set("b", 20)
    progress.set("b", 50)
    assert reported == [(40, 150), (40, 150), (100, 150), (150, 150)]


def test_the_speed_is_that_of_the_last_half_minute_and_leaves_out_what_was_here(clock):
    progress = Progress({"a": 1_000_000_000}, lambda *_: None, clock)
    progress.set("a", 100_000_000)
    progress.start()
    assert progress.describe() == "fetched 100 MB of 1 GB (10 %)"
    for second in range(1, 101):
        clock.return_value = float(second)
        progress.set("a", 100_000_000 + second * 2_000_000)
    assert progress.describe() == "fetched 300 MB of 1 GB (30 %), 2 MB/s, 6 min left"


def test_a_file_that_is_thrown_away_counts_no_more(clock):
    progress = Progress({"a": 100}, lambda *_: None, clock)
    progress.set("a", 100)
    progress.set("a", 0)
    assert progress.done == 0


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (2_120_000, "2.12 MB"),
        (304_000_000, "304 MB"),
        (1_754_000_000, "1.75 GB"),
        (10_353_000_000, "10.4 GB"),
        (123_456_000_000, "123 GB"),
    ],
)
def test_bytes_are_written_with_three_digits(count, text):
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (119, "119 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_durations_are_written_in_the_unit_that_fits(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "repo", "revision", "is_pinned"),
    [
        ("hf:a/b", "a/b", "main", False),
        ("hf:a-b.c/d_e@v1.0", "a-b.c/d_e", "v1.0", False),
        ("hf:a/b@refs/pr/1", "a/b", "refs/pr/1", False),
        (f"hf:a/b@{'0a' * 20}", "a/b", "0a" * 20, True),
    ],
)
def test_an_address_is_a_repository_and_a_revision(text, repo, revision, is_pinned):
    address = HubAddress.parse(text)
    assert (address.repo, address.revision, address.is_pinned) == (repo, revision, is_pinned)


@pytest.mark.parametrize("text", ["hf:", "hf:a", "hf:a/b/c", "hf:a/b@", "hf:a/b@../x y", "a/b"])
def test_anything_else_is_refused_with_what_was_expected(text):
    with pytest.raises(HubError, match="expected hf:owner/name"):
        HubAddress.parse(text)
