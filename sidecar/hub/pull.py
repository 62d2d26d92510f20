"""Fetches, serves nothing: `python -m sidecar.hub.pull [--model ADDRESS] [--vqgan ADDRESS]`.

Prints the folders, one a line, after the lines of progress. Exit codes: 0 all are here, 1 worth
another try, 3 not without a change.
"""

import argparse
import logging
import os
import sys

from sidecar import exit_codes, orphan_guard
from sidecar.hub.address import HubAddress
from sidecar.hub.errors import HubError


def pull(model: str | None, vqgan: str | None) -> int:
    """Fetch a model and its VQGAN, whichever is given; returns the exit code."""
    # Imported after the guard is armed: it takes a while.
    from sidecar.hub.fetch import Wanted, fetch

    places = [(model, True), (vqgan, False)]
    try:
        wanted = [
            Wanted(HubAddress.parse(place), with_tokenizer=with_tokenizer)
            for place, with_tokenizer in places
            if place is not None
        ]
        folders = fetch(wanted, lambda _done, _total: None)
    except HubError as error:
        logging.getLogger("sidecar.hub").error("%s", error)
        return exit_codes.CRASHED if error.retryable else exit_codes.PERMANENT
    for folder in folders:
        sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    parent_pid = os.environ.get("DALLE_SIDECAR_PARENT_PID")
    orphan_guard.guard(None if parent_pid is None else int(parent_pid))
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    # It logs every request at INFO.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(prog="python -m sidecar.hub.pull", description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--vqgan")
    options = parser.parse_args()
    sys.exit(pull(options.model, options.vqgan))
