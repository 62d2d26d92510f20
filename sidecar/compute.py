"""The compute thread: loads the checkpoint, then feeds the engine from a queue of commands.

It owns JAX. Everything it has to say goes through `emit`; between two chunks it looks at its queue,
so a new task, a cancel or a deadline takes effect within one chunk.
"""

import logging
import queue
import threading
import time
from collections import deque

from sidecar.compute_port import Command, Emit
from sidecar.engine.engine import Engine, TaskKey
from sidecar.failure import classify, describe, is_out_of_memory
from sidecar.loading import Checkpoint
from sidecar.start_up import start_up
from sidecar.tasks import InvalidTaskError, Task, prepare_task
from sidecar.wire.messages import (
    Bye,
    Cancel,
    Drain,
    Failed,
    Generate,
    Image,
    Progress,
    SidecarConfig,
)

log = logging.getLogger(__name__)


def start_compute(config: SidecarConfig, emit: Emit) -> "ComputeThread":
    """Start the thread; READY, or a fatal FAILED, follows through `emit`, from that thread."""
    compute = ComputeThread(config, emit)
    compute.start()
    return compute


class ComputeThread(threading.Thread):
    """See the module; the public methods may be called from any thread and never block."""

    def __init__(self, config: SidecarConfig, emit: Emit) -> None:
        super().__init__(name="compute", daemon=True)
        self._config = config
        self._emit = emit
        self._commands: queue.Queue[Command] = queue.Queue()
        self._waiting: deque[Task] = deque()
        self._running: dict[TaskKey, Task] = {}
        self._draining = False
        # Replaced as a whole, so that a reader in another thread never sees half of it.
        self._pulse = ("starting", time.monotonic())

    def submit(self, command: Command) -> None:
        """Hand over a command; it is obeyed at the next chunk."""
        self._commands.put(command)

    def pulse(self) -> tuple[str, float]:
        """What the thread is doing, and the seconds since it last showed life."""
        phase, at = self._pulse
        return phase, time.monotonic() - at

    def run(self) -> None:
        """Load, say READY, work until drained; a fault ends the sidecar, the server restarts it."""
        try:
            checkpoint, engine = start_up(self._config, self._emit, self._beat)
            self._serve(checkpoint, engine)
            self._emit(Bye("drained"))
        # Whatever it is: a thread that ends without a word looks like one that works.
        except BaseException as error:
            code, retryable = classify(error)
            reason = describe(error)
            if retryable:
                log.exception("compute thread failed")
            else:
                # The checkpoint or the settings are at fault: where this program noticed says
                # nothing more.
                log.error("%s: %s", code, reason)
            self._emit(Failed(None, None, code, reason, retryable, fatal=True))

    def _beat(self, phase: str) -> None:
        self._pulse = (phase, time.monotonic())

    def _beat_busy(self) -> None:
        self._beat("drain" if self._draining else "generate")

    def _serve(self, checkpoint: Checkpoint, engine: Engine) -> None:
        while True:
            idle = not self._waiting and not self._running
            if idle and self._draining:
                return
            if idle:
                self._beat("idle")
            self._obey(checkpoint, engine, wait=idle)
            self._drop_late(engine)
            if not self._waiting and not self._running:
                continue
            # Before the work, not before the wait: a chunk that hangs must not look like idleness.
            self._beat_busy()
            try:
                self._admit(engine)
                self._decode(engine)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._make_room(engine, error)

    def _obey(self, checkpoint: Checkpoint, engine: Engine, *, wait: bool) -> None:
        """Take every command that has arrived; with nothing to do, wait for the first."""
        try:
            self._obey_one(checkpoint, engine, self._commands.get(block=wait))
            while True:
                self._obey_one(checkpoint, engine, self._commands.get_nowait())
        except queue.Empty:
            return

    def _obey_one(self, checkpoint: Checkpoint, engine: Engine, command: Command) -> None:
        match command:
            case Generate():
                # A prompt that is never read to its end must not look like idleness either.
                self._beat_busy()
                self._prepare(checkpoint, command)
            case Cancel(task_id=task_id):
                for task in self._all_tasks():
                    if task.request.task_id == task_id:
                        self._end(engine, task, "cancelled", "cancelled by the server")
            case Drain():
                self._draining = True

    def _prepare(self, checkpoint: Checkpoint, command: Generate) -> None:
        key = command.task_id, command.attempt
        try:
            self._waiting.append(prepare_task(command, checkpoint))
        except InvalidTaskError as error:
            self._fail(key, error.code, str(error))
        # The tokenizer is Rust, and its panics are no Exceptions: they too are of this prompt.
        except BaseException as error:
            log.exception("task %s cannot be prepared", command.task_id)
            reason = f"the prompt could not be prepared: {describe(error)}"
            self._fail(key, "engine_error", reason)

    def _all_tasks(self) -> list[Task]:
        return [*self._waiting, *self._running.values()]

    def _drop_late(self, engine: Engine) -> None:
        now = time.monotonic()
        for task in self._all_tasks():
            if task.deadline < now:
                self._end(engine, task, "deadline_exceeded", "the deadline has passed")

    def _admit(self, engine: Engine) -> None:
        while self._waiting and engine.free_slots:
            task = self._waiting[0]
            engine.admit(task.request)
            task.started = time.monotonic()
            self._running[task.key] = self._waiting.popleft()

    def _decode(self, engine: Engine) -> None:
        images = engine.step()
        if progress := engine.progress():
            self._emit(Progress(tuple(progress)))
        for image in images:
            task = self._running.pop(image.key)
            height, width, _ = image.pixels.shape
            self._emit(
                Image(
                    task_id=task.request.task_id,
                    attempt=task.request.attempt,
                    width=width,
                    height=height,
                    seed=task.request.seed,
                    text_tokens=task.text_tokens,
                    image_tokens=engine.image_length,
                    seconds=time.monotonic() - task.started,
                    payload=image.pixels.tobytes(),
                )
            )

    def _make_room(self, engine: Engine, error: Exception) -> None:
        """Go on with half the batch; its tasks start again with their seeds. Raises at one slot."""
        self._waiting.extendleft(reversed(self._running.values()))
        self._running.clear()
        while True:
            if not engine.shrink():
                raise error
            slots = engine.free_slots
            log.warning("out of device memory: going on with %d slots (%s)", slots, error)
            self._beat("compile")
            try:
                engine.compile(lambda _done, _total: self._beat("compile"))
            except Exception as again:
                if not is_out_of_memory(again):
                    raise
                error = again
            else:
                engine.compile_between()
                return

    def _end(self, engine: Engine, task: Task, code: str, message: str) -> None:
        """Take a task out, wherever it is."""
        engine.cancel(task.key)
        if self._running.pop(task.key, None) is None:
            self._waiting = deque(other for other in self._waiting if other.key != task.key)
        self._fail(task.key, code, message)

    def _fail(self, task: TaskKey, code: str, message: str) -> None:
        self._emit(Failed(*task, code, message, retryable=False, fatal=False))
