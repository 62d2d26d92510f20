"""One repository in the Hugging Face cache: the layout that all of its tools read and write.

`blobs/` holds contents under their hash, `snapshots/COMMIT/` links to them by name, `refs/` says
which commit a branch was. A content goes into `blobs/` whole and checked, in one rename, so what
has its name there is whole. `HASH.incomplete` beside it is the beginning of one, which the next try
continues.
"""

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import WeakFileLock

from sidecar.checkpoint.weight_files import has_all_weights
from sidecar.hub.address import COMMIT

CONFIG_FILE = "config.json"
# Either of these is a tokenizer; see sidecar/text.
_TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
_LOCK_POLL_S = 0.5


class RepoCache:
    """The part of the cache that belongs to one repository."""

    def __init__(self, repo: str) -> None:
        name = repo_folder_name(repo_id=repo, repo_type="model")
        root = Path(constants.HF_HUB_CACHE)
        self.folder = root / name
        self._locks = root / ".locks" / name

    def blob(self, digest: str) -> Path:
        """Where a content is once it is whole."""
        return self.folder / "blobs" / digest

    def incomplete(self, digest: str) -> Path:
        """Where a content grows."""
        return self.folder / "blobs" / f"{digest}.incomplete"

    def snapshot(self, commit: str) -> Path:
        """The folder with the files of a commit under their own names."""
        return self.folder / "snapshots" / commit

    def find_snapshot(self, revision: str, *, with_tokenizer: bool) -> Path | None:
        """The folder of a revision if everything that loading needs is in it."""
        commit = revision if COMMIT.fullmatch(revision) else self._read_ref(revision)
        if commit is None:
            return None
        folder = self.snapshot(commit)
        choices = _TOKENIZERS if with_tokenizer else ((),)
        is_complete = any(
            all((folder / name).is_file() for name in (CONFIG_FILE, *tokenizer))
            for tokenizer in choices
        )
        return folder if is_complete and has_all_weights(folder) else None

    def link(self, commit: str, name: str, digest: str) -> None:
        """Give a content its name in the snapshot of a commit."""
        pointer = self.snapshot(commit) / name
        pointer.parent.mkdir(parents=True, exist_ok=True)
        # Made beside it and renamed: another process may do the same at this moment.
        fresh = pointer.with_name(f".{name}.{uuid4().hex}")
        fresh.symlink_to(os.path.relpath(self.blob(digest), pointer.parent))
        fresh.replace(pointer)

    def remember(self, revision: str, commit: str) -> None:
        """Note which commit a branch or tag is, for a start without a network."""
        if revision == commit:
            return
        path = self.folder / "refs" / revision
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
        fresh.write_text(commit, "ascii")
        fresh.replace(path)

    @contextmanager
    def hold(self, digest: str, while_waiting: Callable[[], None]) -> Generator[None]:
        """Be the only process that fetches a content; the kernel frees it when the process ends."""
        self.blob(digest).parent.mkdir(parents=True, exist_ok=True)
        self._locks.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            lock = self._locks / f"{digest}.lock"
            while True:
                try:
                    stack.enter_context(WeakFileLock(lock, timeout=_LOCK_POLL_S))
                    break
                except TimeoutError:
                    while_waiting()
            yield

    def _read_ref(self, revision: str) -> str | None:
        path = self.folder / "refs" / revision
        commit = path.read_text("ascii").strip() if path.is_file() else ""
        return commit if COMMIT.fullmatch(commit) else None
