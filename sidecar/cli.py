"""What the sidecar program reads from its arguments and environment, and its diagnostics."""

import argparse
import faulthandler
import logging
import signal
import sys
from collections.abc import Mapping, Sequence

from sidecar.server import Connection


def read_connection(arguments: Sequence[str], environment: Mapping[str, str]) -> Connection:
    """Read how to reach the server; exits with code 2 and a usage line when a part is missing."""
    parser = argparse.ArgumentParser(prog="python -m sidecar", description=__doc__)
    parser.add_argument("--endpoint", required=True, help="where the server listens (ipc://...)")
    parser.add_argument("--identity", required=True, help="the name of this connection")
    options = parser.parse_args(arguments)
    token = environment.get("DALLE_SIDECAR_TOKEN")
    generation = environment.get("DALLE_SIDECAR_GENERATION", "")
    if not token or not generation.isdecimal():
        parser.error(
            "DALLE_SIDECAR_TOKEN and DALLE_SIDECAR_GENERATION are not set: "
            "the sidecar is started by the server, not by hand"
        )
    return Connection(options.endpoint, options.identity, token, int(generation))


def start_diagnostics() -> None:
    """Log to standard error; print stacks there on SIGUSR1 and before a fatal signal."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    # JAX tells at INFO of every backend that this machine does not have.
    logging.getLogger("jax").setLevel(logging.WARNING)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
