"""The sidecar program: `python -m sidecar --endpoint ipc://... --identity ...`.

The server starts it and gives it the rest through the environment: DALLE_SIDECAR_TOKEN,
DALLE_SIDECAR_GENERATION and DALLE_SIDECAR_PARENT_PID. All other settings come with WELCOME.

Exit codes: 0 drained, 1 crashed, 2 wrong arguments, 3 a permanent failure (the checkpoint or its
configuration), 4 the protocol or its version was refused. SIGTERM drains, SIGUSR1 prints the stacks
of all threads to standard error.
"""

import os
import sys
from typing import TYPE_CHECKING

from sidecar import orphan_guard

if TYPE_CHECKING:
    from sidecar.compute_port import Compute, Emit
    from sidecar.wire.messages import SidecarConfig


def main() -> int:
    """Guard, read the arguments, serve; returns the exit code."""
    parent_pid = os.environ.get("DALLE_SIDECAR_PARENT_PID")
    orphan_guard.guard(None if parent_pid is None else int(parent_pid))

    # Imported after the guard is armed, so that a start that hangs in an import is guarded too.
    from sidecar.cli import read_connection, start_diagnostics
    from sidecar.server import serve

    start_diagnostics()
    return serve(read_connection(sys.argv[1:], os.environ), start_compute)


def start_compute(config: "SidecarConfig", emit: "Emit") -> "Compute":
    """Start the real compute thread, imported after HELLO, because it brings jax."""
    from sidecar import compute

    return compute.start_compute(config, emit)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: the compute thread may be inside a long compilation, and tearing down jax takes
    # seconds. Everything that has to be said has been said.
    os._exit(code)
