"""What the hub says of a repository: the commit of a revision, and its files with their hashes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.hf_api import RepoSibling

from sidecar.checkpoint.weight_files import INDEX_FILE, WEIGHTS_FILE, is_shard_name
from sidecar.hub.address import COMMIT, HubAddress
from sidecar.hub.cache import CONFIG_FILE
from sidecar.hub.errors import HubError
from sidecar.hub.http_errors import to_hub_error

# Besides the weights, which come last: once they are here, everything is. Hashtags are split
# without the word list of 34 MB where a folder has none.
WANTED_FILES = (
    CONFIG_FILE,
    "sampling.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
_LISTING_TIMEOUT_S = 20.0
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as the hub describes it; `digest` is the sha256 of a large file, else git's hash."""

    name: str
    size: int
    digest: str

    @property
    def is_large(self) -> bool:
        """Whether it is stored by sha256 (Git LFS) and not as git's own object."""
        return len(self.digest) == 64


@dataclass(frozen=True, slots=True)
class Listing:
    """The wanted files of one commit."""

    commit: str
    files: tuple[HubFile, ...]
    """Ends with the one file of the weights, or with the index of their shards."""
    shards: Mapping[str, HubFile]
    """By their names; empty where the weights are one file. The index says which are wanted."""


def ask_listing(address: HubAddress) -> Listing:
    """Ask the hub for the wanted files of a revision.

    Raises:
        HubError: there is no such thing, it may not be read, or the hub cannot be reached.
    """
    try:
        info = HfApi().model_info(
            address.repo,
            revision=address.revision,
            files_metadata=True,
            timeout=_LISTING_TIMEOUT_S,
        )
        found = {sibling.rfilename: sibling for sibling in info.siblings or []}
        head = WEIGHTS_FILE if WEIGHTS_FILE in found else INDEX_FILE
        wanted = [name for name in (*WANTED_FILES, head) if name in found]
        shards = [name for name in found if is_shard_name(name)] if head == INDEX_FILE else []
        listing = Listing(
            _checked(COMMIT, info.sha),
            tuple(_to_file(found[name]) for name in wanted),
            {name: _to_file(found[name]) for name in shards},
        )
    except (httpx2.HTTPError, OfflineModeIsEnabled) as error:
        raise to_hub_error(error, address) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HubError(
            "hub_unreachable",
            f"{constants.ENDPOINT} did not answer as a hub does when asked for {address.repo}: "
            f"check HF_ENDPOINT and the proxy ({error})",
        ) from error
    for names in ((CONFIG_FILE,), (WEIGHTS_FILE, INDEX_FILE)):
        if all(file.name not in names for file in listing.files):
            held = ", ".join(sorted(found)[:12]) or "nothing"
            raise HubError(
                "checkpoint_not_found",
                f"{address} has no {names[0]}: it holds {held}; give a repository with Flax "
                "weights of dalle-mini's kind",
            )
    return listing


def _to_file(sibling: RepoSibling) -> HubFile:
    size = sibling.lfs.size if sibling.lfs else sibling.size
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return HubFile(sibling.rfilename, int(size or 0), _checked(_HASH, digest))


def _checked(pattern: re.Pattern[str], text: str | None) -> str:
    """Text of the hub that becomes part of a path."""
    if text is None or pattern.fullmatch(text) is None:
        raise ValueError(f"expected a hash, got {text!r}")
    return text
