"""From addresses to folders: what is in the cache is used, what is missing is fetched."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from huggingface_hub import constants

from sidecar.checkpoint.weight_files import (
    INDEX_FILE,
    MAX_INDEX_BYTES,
    CheckpointError,
    find_weight_files,
)
from sidecar.hub.address import HubAddress
from sidecar.hub.cache import RepoCache
from sidecar.hub.errors import HubError, to_disk_error
from sidecar.hub.listing import HubFile, Listing, ask_listing
from sidecar.hub.progress import Progress, Report
from sidecar.hub.transfer import Source, fetch_file
from sidecar.units import format_bytes

log = logging.getLogger("sidecar.hub")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A repository to have on this machine; a VQGAN's has no tokenizer."""

    address: HubAddress
    with_tokenizer: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where a repository comes from and will be, and the files that are missing there."""

    source: Source
    missing: tuple[HubFile, ...] = ()


def fetch(wanted: Sequence[Wanted], report: Report) -> list[Path]:
    """The folders of repositories, in their order, complete and checked.

    A commit whose files are in the cache costs no request. A branch or tag is asked for each time,
    and taken from the cache when the hub cannot be reached.

    Args:
        report: gets the bytes here and the bytes of everything that was missing.

    Raises:
        HubError: one of them cannot be had; the message says why and what to do.
    """
    try:
        plans = [_plan(each) for each in wanted]
        _download([plan for plan in plans if plan.missing], report)
    except OSError as error:
        raise to_disk_error(error, constants.HF_HUB_CACHE) from error
    return [plan.source.folder for plan in plans]


def _plan(wanted: Wanted) -> _Plan:
    address = wanted.address
    cache = RepoCache(address.repo)
    cached = cache.find_snapshot(address.revision, with_tokenizer=wanted.with_tokenizer)
    if cached is not None and (address.is_pinned or constants.is_offline_mode()):
        return _Plan(Source(address, cached.name, cache))
    try:
        listing = ask_listing(address)
    except HubError as error:
        if cached is None or not error.retryable:
            raise
        log.warning("%s; going on with what the cache has: %s", error, cached)
        return _Plan(Source(address, cached.name, cache))
    source = Source(address, listing.commit, cache)
    wanted_files = (*listing.files, *_find_shards(source, listing))
    missing = tuple(file for file in wanted_files if not (source.folder / file.name).is_file())
    if not missing:
        cache.remember(address.revision, listing.commit)
    return _Plan(source, missing)


def _find_shards(source: Source, listing: Listing) -> list[HubFile]:
    """The shards of the weights, where they are not one file; fetches the index that names them."""
    head = listing.files[-1]
    if head.name != INDEX_FILE:
        return []
    if head.size > MAX_INDEX_BYTES:
        raise HubError(
            "checkpoint_invalid",
            f"{INDEX_FILE} of {source.address} has {format_bytes(head.size)}, expected at most "
            f"{format_bytes(MAX_INDEX_BYTES)}",
        )
    if not (source.folder / INDEX_FILE).is_file():
        fetch_file(source, head, lambda _size: None)
    try:
        found = find_weight_files(source.folder)
    except CheckpointError as error:
        raise HubError("checkpoint_invalid", f"{source.address}: {error}") from error
    shards: list[HubFile] = []
    for path in found.paths if found else []:
        if path.name not in listing.shards:
            raise HubError(
                "checkpoint_not_found",
                f"{source.address} has no {path.name}, which its {INDEX_FILE} names: give a "
                "revision that is complete",
            )
        shards.append(listing.shards[path.name])
    return shards


def _download(plans: Sequence[_Plan], report: Report) -> None:
    if not plans:
        return
    sizes = {_name(plan, file): file.size for plan in plans for file in plan.missing}
    progress = Progress(sizes, report)
    for plan in plans:
        for file in plan.missing:
            progress.set(_name(plan, file), _bytes_here(plan.source.cache, file))
    _check_space(sum(sizes.values()) - progress.done)
    progress.start()
    for plan in plans:
        for file in plan.missing:
            fetch_file(plan.source, file, partial(progress.set, _name(plan, file)))
        plan.source.cache.remember(plan.source.address.revision, plan.source.commit)
        log.info("%s is here: %s", plan.source.address, plan.source.folder)


def _name(plan: _Plan, file: HubFile) -> str:
    return f"{plan.source.address.repo}/{file.name}"


def _bytes_here(cache: RepoCache, file: HubFile) -> int:
    for path in (cache.blob(file.digest), cache.incomplete(file.digest)):
        if path.exists():
            return min(path.stat().st_size, file.size)
    return 0


def _check_space(needed: int) -> None:
    """Better to know before the first byte than after the last that fits."""
    root = Path(constants.HF_HUB_CACHE)
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if free < needed:
        raise HubError(
            "cache_unwritable",
            f"{format_bytes(needed)} are to be fetched, but only {format_bytes(free)} are free in "
            f"{root}: free some space, or set HF_HOME to a folder on another disk",
        )
