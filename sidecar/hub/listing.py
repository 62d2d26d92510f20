"""What the hub says of a repository: the commit of a revision, and the files with sizes and hashes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoSibling

from sidecar.checkpoint.weight_files import INDEX_FILE, WEIGHTS_FILE, is_shard_name
from sidecar.hub.address import HubAddress
from sidecar.hub.cache import CONFIG_FILE
from sidecar.hub.errors import HubError

# Besides the weights, which come last: once they are here, everything is. Hashtags are split without the word list
# of 34 MB where a folder has none.
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
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as the hub describes it; the hash is the sha256 of a large file, git's hash of a small one."""

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
    """By their names; empty where the weights are one file. Which of them are wanted, the index says."""


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
            _checked(_COMMIT, info.sha),
            tuple(_describe(found[name]) for name in wanted),
            {name: _describe(found[name]) for name in shards},
        )
    except (httpx2.HTTPError, OfflineModeIsEnabled) as error:
        raise describe_http_error(error, address) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HubError(
            "hub_unreachable",
            f"{constants.ENDPOINT} did not answer as a hub does when asked for {address.repo}: check "
            f"HF_ENDPOINT and the proxy ({error})",
        ) from error
    for names in ((CONFIG_FILE,), (WEIGHTS_FILE, INDEX_FILE)):
        if all(file.name not in names for file in listing.files):
            held = ", ".join(sorted(found)[:12]) or "nothing"
            raise HubError(
                "checkpoint_not_found",
                f"{address} has no {names[0]}: it holds {held}; give a repository with Flax weights of "
                "dalle-mini's kind",
            )
    return listing


def _describe(sibling: RepoSibling) -> HubFile:
    size = sibling.lfs.size if sibling.lfs else sibling.size
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return HubFile(sibling.rfilename, int(size or 0), _checked(_HASH, digest))


def describe_http_error(error: Exception, address: HubAddress) -> HubError:
    """The failure that an error of a request to the hub is."""
    place = constants.ENDPOINT
    match error:
        case OfflineModeIsEnabled():
            return HubError(
                "checkpoint_not_found",
                f"{address} is not in the Hugging Face cache ({constants.HF_HUB_CACHE}) and "
                "HF_HUB_OFFLINE is set: unset it for the first start, or copy the cache here",
            )
        case GatedRepoError():
            return HubError(
                "hub_refused",
                f"{address.repo} asks for an agreement: accept it at {place}/{address.repo}, then "
                "set HF_TOKEN to a token of that account",
            )
        case RevisionNotFoundError():
            return HubError(
                "checkpoint_not_found",
                f"{address.repo} has no revision {address.revision}: check what stands behind the @",
            )
        case RepositoryNotFoundError() if error.response.status_code == 404:
            return HubError(
                "checkpoint_not_found",
                f"there is no model {address.repo} at {place}: check the name, or set HF_TOKEN if it "
                "is private",
            )
        case EntryNotFoundError():
            return HubError(
                "checkpoint_not_found", f"a file of {address} is gone from {place}: try again"
            )
        case HfHubHTTPError():
            return _describe_status(error.response.status_code, address)
        case _:
            return HubError(
                "hub_unreachable",
                f"{place} cannot be reached for {address.repo} ({error or type(error).__name__}): check "
                "the network, HTTPS_PROXY and HF_ENDPOINT; a start without a network needs the files "
                "in the cache",
            )


def _describe_status(status: int, address: HubAddress) -> HubError:
    place = constants.ENDPOINT
    if status in (401, 403):
        return HubError(
            "hub_refused",
            f"{place} refused {address.repo} with status {status}: check the name (a model that does "
            "not exist is refused too), or set HF_TOKEN to a token that may read it",
        )
    if status == 404:
        return HubError("checkpoint_not_found", f"there is no {address} at {place}: check the name")
    if status in (408, 429) or status >= 500:
        return HubError(
            "hub_unreachable",
            f"{place} has trouble of its own (status {status}) with {address.repo}",
        )
    return HubError("hub_refused", f"{place} refused {address.repo} with status {status}")


def _checked(pattern: re.Pattern[str], text: str | None) -> str:
    """Text of the hub that becomes part of a path."""
    if text is None or pattern.fullmatch(text) is None:
        raise ValueError(f"expected a hash, got {text!r}")
    return text
