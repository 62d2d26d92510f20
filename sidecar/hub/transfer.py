"""Fetches one file into the cache: continues what is there, checks the whole, then names it."""

import hashlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import constants, get_session, hf_hub_url
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from sidecar.hub.address import HubAddress
from sidecar.hub.cache import RepoCache
from sidecar.hub.errors import HubError
from sidecar.hub.http_errors import to_hub_error
from sidecar.hub.listing import HubFile
from sidecar.units import format_bytes

log = logging.getLogger("sidecar.hub")

# Takes the bytes of the file that are here.
Note = Callable[[int], None]

# Requests in a row that bring nothing new; then the supervisor takes over with its longer pauses.
MAX_IDLE_TRIES = 5
FIRST_PAUSE_S = 0.5
_PIECE_BYTES = 1 << 16
_HASH_PIECE_BYTES = 1 << 22
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file comes from and where it goes."""

    address: HubAddress
    commit: str
    cache: RepoCache

    @property
    def folder(self) -> Path:
        """What will hold the files of the commit under their own names."""
        return self.cache.snapshot(self.commit)


def fetch_file(source: Source, file: HubFile, note: Note) -> None:
    """Make sure that a file is in the snapshot, whole and with the right hash.

    A second process that wants the same file waits for the first. A file that arrives damaged is
    fetched once more.

    Raises:
        HubError: it cannot be had.
        OSError: the cache cannot be written.
    """
    cache = source.cache
    blob, partial = cache.blob(file.digest), cache.incomplete(file.digest)
    with cache.hold(file.digest, lambda: note(_size_of(partial))):
        if not blob.exists():
            _fetch_whole(source, file, partial, note)
            partial.replace(blob)
        cache.link(source.commit, file.name, file.digest)
    note(file.size)


def _fetch_whole(source: Source, file: HubFile, partial: Path, note: Note) -> None:
    """Fill `partial` until it is what the hub says it should be."""
    problem = ""
    for _ in range(2):
        _fetch_rest(source, file, partial, note)
        problem = _find_damage(partial, file, note)
        if not problem:
            return
        log.warning("%s of %s: %s; removed", file.name, source.address, problem)
        partial.unlink(missing_ok=True)
        note(0)
    raise HubError(
        "checkpoint_invalid",
        f"{file.name} of {source.address} arrived damaged twice ({problem}): something between "
        f"{constants.ENDPOINT} and here changes it; check HF_ENDPOINT and the proxy",
    )


def _fetch_rest(source: Source, file: HubFile, partial: Path, note: Note) -> None:
    """Ask for what is missing, again and again as long as there is hope."""
    idle_tries = 0
    while True:
        before = _size_of(partial)
        try:
            _receive(source, file, partial, note)
            return
        except httpx2.TransportError as error:
            idle_tries = 0 if _size_of(partial) > before else idle_tries + 1
            if idle_tries >= MAX_IDLE_TRIES:
                raise to_hub_error(error, source.address) from error
            pause_s = FIRST_PAUSE_S * 2**idle_tries
            here = format_bytes(_size_of(partial))
            log.warning("%s was cut at %s (%s); going on in %s s", file.name, here, error, pause_s)
            time.sleep(pause_s)
        except httpx2.HTTPError as error:
            raise to_hub_error(error, source.address) from error


def _receive(source: Source, file: HubFile, partial: Path, note: Note) -> None:
    """One request for everything behind what is there; more than the file's size is not read."""
    size = _size_of(partial)
    if size >= file.size:
        return
    url = hf_hub_url(source.address.repo, file.name, revision=source.commit)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if size > 0:
        headers["Range"] = f"bytes={size}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        if response.status_code == _RANGE_NOT_SATISFIABLE:
            return  # The hub's file ends before: the check of the whole will say so.
        hf_raise_for_status(response)
        # A server that does not know ranges sends everything, from the start.
        is_rest = response.status_code == _PARTIAL_CONTENT
        size = size if is_rest else 0
        with partial.open("ab" if is_rest else "wb") as target:
            for piece in response.iter_raw(_PIECE_BYTES):
                target.write(piece)
                size += len(piece)
                note(min(size, file.size))
                if size > file.size:
                    return
            os.fsync(target.fileno())


def _find_damage(partial: Path, file: HubFile, note: Note) -> str:
    """What is wrong with a file that has arrived; empty when nothing is."""
    size = _size_of(partial)
    if size != file.size:
        return f"{size} bytes, expected {file.size}"
    digest = hashlib.sha256() if file.is_large else hashlib.sha1(f"blob {size}\0".encode())
    with partial.open("rb") as content:
        while piece := content.read(_HASH_PIECE_BYTES):
            digest.update(piece)
            note(size)
    if digest.hexdigest() != file.digest:
        return f"hash {digest.hexdigest()}, expected {file.digest}"
    return ""


def _size_of(path: Path) -> int:
    """Bytes of a file; 0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
