"""What is between the I/O thread and the compute thread: commands one way, messages the other."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from sidecar.wire.messages import Cancel, Drain, Generate, SidecarConfig, UpMessage

Command: TypeAlias = Generate | Cancel | Drain


class Compute(Protocol):
    """The compute thread, seen from the I/O thread. All methods are thread-safe and never block."""

    def submit(self, command: Command) -> None:
        """Hand over a command; the answers come through `emit`."""
        ...

    def pulse(self) -> tuple[str, float]:
        """The phase of BEAT it is in, and the seconds since its last step."""
        ...


Emit: TypeAlias = Callable[[UpMessage], None]

# Starts the thread and returns at once; READY, or a fatal FAILED, follows through `emit`.
StartCompute: TypeAlias = Callable[[SidecarConfig, Emit], Compute]
