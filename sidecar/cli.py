"""What the sidecar program reads from its arguments and environment, and its diagnostics."""

import argparse
import faulthandler
import json
import logging
import signal
import sys
from collections.abc import Mapping, Sequence

from sidecar.connection import Connection, CurveKeys

_KEY_NAMES = ("DALLE_SIDECAR_SERVER_KEY", "DALLE_SIDECAR_PUBLIC_KEY", "DALLE_SIDECAR_SECRET_KEY")


def read_connection(arguments: Sequence[str], environment: Mapping[str, str]) -> Connection:
    """Read how to reach the server; exits with code 2 and a usage line when a part is missing."""
    parser = argparse.ArgumentParser(prog="python -m sidecar", description=__doc__)
    parser.add_argument(
        "--endpoint", required=True, help="where the server listens (ipc://... or tcp://...)"
    )
    parser.add_argument("--identity", required=True, help="the name of this connection")
    options = parser.parse_args(arguments)
    token = environment.get("DALLE_SIDECAR_TOKEN")
    generation = environment.get("DALLE_SIDECAR_GENERATION", "")
    if not token or not generation.isdecimal():
        parser.error(
            "DALLE_SIDECAR_TOKEN and DALLE_SIDECAR_GENERATION are not set: "
            "the sidecar is started by the server, not by hand; to draw by hand: "
            "python -m sidecar.draw --help"
        )
    keys = _read_keys(environment)
    if keys is None and options.endpoint.startswith("tcp:"):
        names = ", ".join(_KEY_NAMES)
        parser.error(f"tcp is never used unencrypted, and one of {names} is not set")
    return Connection(options.endpoint, options.identity, token, int(generation), keys)


def _read_keys(environment: Mapping[str, str]) -> CurveKeys | None:
    keys = [environment.get(name) for name in _KEY_NAMES]
    given = [key for key in keys if key]
    return CurveKeys(*given) if len(given) == len(_KEY_NAMES) else None


class _JsonFormatter(logging.Formatter):
    """One record, one line of JSON, a traceback included; the server merges it into its own log."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, separators=(",", ":"))


def start_diagnostics() -> None:
    """Log to standard error; print stacks there on SIGUSR1 and before a fatal signal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    # JAX logs at INFO every backend that this machine does not have.
    logging.getLogger("jax").setLevel(logging.WARNING)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
