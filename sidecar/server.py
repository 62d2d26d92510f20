"""The I/O thread of the sidecar: the socket, the beats, the way to the compute thread and back.

`serve` runs on the main thread and never touches jax. The compute thread gets its commands through
`Compute.submit` and answers through `emit`, which any thread may call. As long as the interpreter
lock is free now and then, a PING is answered at once, however long a chunk takes.
"""

import contextlib
import logging
import os
import signal
import socket
import time
from collections import deque
from pathlib import Path
from types import FrameType

import zmq

from sidecar import __version__, exit_codes
from sidecar.compute_port import Compute, StartCompute
from sidecar.connection import Connection, connect, describe_obstacle
from sidecar.wire import messages as wire
from sidecar.wire.frames import ProtocolError, VersionMismatchError, decode_down, encode

_FAREWELL_MS = 2000

log = logging.getLogger("sidecar")


def serve(connection: Connection, start_compute: StartCompute) -> int:
    """Serve until drained, stopped by SIGTERM, or broken; returns the exit code.

    Must be called on the main thread, because it handles SIGTERM and SIGINT.
    """
    obstacle = describe_obstacle(connection)
    if obstacle is not None:
        log.error("%s", obstacle)
        return exit_codes.PERMANENT
    server = _Server(connection, start_compute)
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    # The kernel may give the signal to another thread; then nothing would interrupt the poll.
    previous_fd = signal.set_wakeup_fd(server.wake_fd, warn_on_full_buffer=False)
    for number in previous:
        signal.signal(number, server.handle_signal)
    try:
        return server.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_fd)
        server.close()


class _Server:
    """One connection to the server, from HELLO to BYE."""

    def __init__(self, connection: Connection, start_compute: StartCompute) -> None:
        self._connection = connection
        self._start_compute = start_compute
        self._compute: Compute | None = None
        self._beat_interval_s = 1.0
        self._next_beat_s = 0.0
        self._sequence = 0
        self._is_ready = False
        self._is_draining = False
        self._stop_requested = False
        self._exit_code: int | None = None
        # Task id and attempt: the second attempt of a task may come before the end of the first.
        self._active: set[tuple[str, int]] = set()
        self._emitted: deque[wire.UpMessage] = deque()
        self._outbox: deque[list[bytes]] = deque()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._context = zmq.Context()
        self._socket = connect(self._context, connection)
        self._poller = zmq.Poller()
        self._poller.register(self._wake_read, zmq.POLLIN)

    @property
    def wake_fd(self) -> int:
        """A byte written here wakes the loop."""
        return self._wake_write.fileno()

    def run(self) -> int:
        """The loop: wait for the server, the compute thread or the next beat; handle; send."""
        hello = wire.Hello(
            __version__, os.getpid(), self._connection.generation, self._connection.token
        )
        self._send(hello)
        while self._exit_code is None:
            self._wait()
            self._take_emitted()
            self._receive_all()
            if self._stop_requested and not self._is_draining:
                self._drain()
            self._finish_drain()
            self._beat_if_due()
            self._flush()
        return self._exit_code

    def close(self) -> None:
        """Hand what is left to the kernel, within a limit, and close."""
        deadline_s = time.monotonic() + _FAREWELL_MS / 1000
        while self._outbox and time.monotonic() < deadline_s:
            self._socket.poll(50, zmq.POLLOUT)
            self._flush()
        self._socket.close(linger=_FAREWELL_MS)
        self._context.term()
        self._wake_read.close()
        self._wake_write.close()

    def emit(self, message: wire.UpMessage) -> None:
        """Queue a message for the server. May be called on any thread; never blocks."""
        self._emitted.append(message)
        self._wake()

    def handle_signal(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM and SIGINT mean DRAIN; they wake the loop by themselves."""
        del number, frame
        self._stop_requested = True

    def _wake(self) -> None:
        # Full: the loop is about to wake up anyway. Closed: the loop has ended.
        with contextlib.suppress(OSError):
            self._wake_write.send(b"\0")

    def _wait(self) -> None:
        """Wait until there is something to do."""
        flags = zmq.POLLIN | zmq.POLLOUT if self._outbox else zmq.POLLIN
        self._poller.register(self._socket, flags)
        timeout_s = None if self._compute is None else self._next_beat_s - time.monotonic()
        self._poller.poll(None if timeout_s is None else max(0, round(timeout_s * 1000)))
        with contextlib.suppress(BlockingIOError):
            while self._wake_read.recv(4096):
                pass

    def _receive_all(self) -> None:
        while self._exit_code is None and self._socket.poll(0, zmq.POLLIN):
            frames = self._socket.recv_multipart()
            try:
                message = decode_down(frames)
                if message is not None:
                    self._handle(message)
            except ProtocolError as error:
                self._refuse(error)

    def _handle(self, message: wire.DownMessage) -> None:
        if isinstance(message, wire.Welcome):
            self._welcome(message.config)
        elif self._compute is None:
            raise ProtocolError(message.TYPE, "type", "WELCOME first")
        elif isinstance(message, wire.Generate):
            self._generate(self._compute, message)
        elif isinstance(message, wire.Cancel):
            if any(task_id == message.task_id for task_id, _ in self._active):
                self._compute.submit(message)
        elif isinstance(message, wire.Ping):
            self._sequence = message.sequence
            self._beat(self._compute)
        else:
            self._drain()

    def _welcome(self, config: wire.SidecarConfig) -> None:
        if self._compute is not None:
            raise ProtocolError(wire.Welcome.TYPE, "type", "one WELCOME")
        self._beat_interval_s = config.beat_interval_ms / 1000
        self._compute = self._start_compute(config, self.emit)

    def _generate(self, compute: Compute, task: wire.Generate) -> None:
        """Acknowledge a task and hand it over. One that is sent twice is acknowledged twice."""
        if self._is_draining or not self._is_ready:
            code = "draining" if self._is_draining else "engine_error"
            reason = "about to exit" if self._is_draining else "not ready yet"
            self._send(wire.Rejected(task.task_id, task.attempt, code, f"the sidecar is {reason}"))
            return
        self._send(wire.Accepted(task.task_id, task.attempt))
        if (task.task_id, task.attempt) not in self._active:
            self._active.add((task.task_id, task.attempt))
            compute.submit(task)

    def _take_emitted(self) -> None:
        """Send what the compute thread has said, and keep count of the tasks that it has."""
        while self._emitted:
            message = self._emitted.popleft()
            self._send(message)
            if isinstance(message, wire.Ready):
                self._is_ready = True
            elif isinstance(message, wire.Image | wire.Rejected):
                self._active.discard((message.task_id, message.attempt))
            elif isinstance(message, wire.Failed):
                self._note_failure(message)
            elif isinstance(message, wire.Bye):
                self._exit_code = exit_codes.DRAINED

    def _note_failure(self, failure: wire.Failed) -> None:
        if failure.task_id is not None and failure.attempt is not None:
            self._active.discard((failure.task_id, failure.attempt))
        if failure.fatal:
            log.error("%s: %s", failure.code, failure.message)
            self._exit_code = exit_codes.CRASHED if failure.retryable else exit_codes.PERMANENT

    def _refuse(self, error: ProtocolError) -> None:
        """The server sends nothing malformed, so this is another release: say so and exit."""
        log.error("%s", error)
        is_version = isinstance(error, VersionMismatchError)
        code = "version_mismatch" if is_version else "protocol_error"
        self._send(wire.Failed(None, None, code, str(error), retryable=not is_version, fatal=True))
        self._exit_code = exit_codes.PROTOCOL

    def _drain(self) -> None:
        if self._compute is not None and not self._is_draining:
            self._compute.submit(wire.Drain())
        self._is_draining = True

    def _finish_drain(self) -> None:
        """Leave when the last task has been answered; before READY there is none."""
        if self._is_draining and not self._active and self._exit_code is None:
            self._send(wire.Bye("drained"))
            self._exit_code = exit_codes.DRAINED

    def _beat_if_due(self) -> None:
        if self._compute is not None and time.monotonic() >= self._next_beat_s:
            self._beat(self._compute)

    def _beat(self, compute: Compute) -> None:
        """Say how things are; not while older messages wait, for they would only pile up."""
        self._next_beat_s = time.monotonic() + self._beat_interval_s
        if self._outbox:
            return
        phase, age_s = compute.pulse()
        age_ms = max(0, round(age_s * 1000))
        self._send(wire.Beat(self._sequence, phase, age_ms, _read_rss_bytes()))

    def _send(self, message: wire.UpMessage) -> None:
        self._outbox.append(encode(message))
        self._flush()

    def _flush(self) -> None:
        """Send what the socket takes now; the rest waits for POLLOUT."""
        while self._outbox:
            try:
                self._socket.send_multipart(self._outbox[0], zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self._outbox.popleft()


def _read_rss_bytes() -> int:
    """The memory of this process that is in RAM; 0 where the system has no /proc."""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
