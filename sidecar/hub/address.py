"""How a repository of the hub is named: `hf:owner/name`, or `hf:owner/name@revision`."""

import re
from dataclasses import dataclass

from sidecar.hub.errors import HubError

PREFIX = "hf:"
DEFAULT_REVISION = "main"
_ADDRESS = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub_address(place: str) -> bool:
    """Whether a checkpoint is named by its repository; otherwise by its folder."""
    return place.startswith(PREFIX)


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A repository and a revision of it: a branch, a tag or a commit."""

    repo: str
    revision: str = DEFAULT_REVISION

    @classmethod
    def parse(cls, text: str) -> "HubAddress":
        """Read `hf:owner/name[@revision]`.

        Raises:
            HubError: it is written in another way.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise HubError(
                "checkpoint_not_found", f"{text}: expected hf:owner/name or hf:owner/name@revision"
            )
        return cls(match["repo"], match["revision"] or DEFAULT_REVISION)

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit, which always means the same files."""
        return COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo}@{self.revision}"
