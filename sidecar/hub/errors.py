"""What can go wrong between this machine and the hub, in words and as codes of FAILED."""

import errno
from typing import Literal

HubErrorCode = Literal[
    "checkpoint_not_found",
    "checkpoint_invalid",
    "hub_refused",
    "hub_unreachable",
    "cache_unwritable",
]


class HubError(Exception):
    """A checkpoint that could not be fetched; the message says what to do about it.

    Only `hub_unreachable` may go away by itself: all others are permanent.
    """

    def __init__(self, code: HubErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: HubErrorCode = code

    @property
    def retryable(self) -> bool:
        """Whether another try, without any change, may succeed."""
        return self.code == "hub_unreachable"


def to_disk_error(error: OSError, folder: object) -> HubError:
    """The failure that an error of the file system is while the cache is written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "the disk is full: free some space"
    else:
        reason = f"{error.strerror or error}: make it writable"
    return HubError(
        "cache_unwritable",
        f"cannot write to the Hugging Face cache in {folder}: {reason}, or set HF_HOME to another "
        "folder; what was fetched so far is kept",
    )
