"""Ends this process when its parent is gone, whatever Python is doing at that moment.

Two guards, because each has a gap. PR_SET_PDEATHSIG makes the kernel send SIGKILL, even while some
C code holds the interpreter lock, but only Linux has it. The end of file on standard input works
everywhere, but the thread that waits for it has to get the interpreter lock. Standard library only:
this runs before anything heavy is imported, so that no part of the start is unguarded.
"""

import ctypes
import os
import sys
import threading

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_EXIT_ORPHANED = 1


def guard(expected_parent_pid: int | None) -> None:
    """Arm both guards; exit at once when the parent is gone already.

    `expected_parent_pid` is the pid of the process that started this one; None (started by hand)
    leaves both guards off.
    """
    if expected_parent_pid is None:
        return
    if sys.platform == "linux":
        _die_with_parent()
        # The parent may have ended between fork and prctl: then the signal never comes.
        if os.getppid() != expected_parent_pid:
            os._exit(_EXIT_ORPHANED)
    threading.Thread(target=_exit_at_end_of_input, name="orphan-guard", daemon=True).start()


def _die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the thread that started this process ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")


def _exit_at_end_of_input() -> None:
    """Wait for the end of standard input, whose other end only the parent holds."""
    descriptor = sys.stdin.fileno()
    while os.read(descriptor, 4096):
        pass
    os._exit(_EXIT_ORPHANED)
