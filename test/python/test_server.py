"""The I/O thread in a real process over a real socket; the compute thread is scripted."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import zmq

from sidecar.wire.frames import MAGIC, decode_up, encode
from sidecar.wire.messages import (
    Accepted,
    Beat,
    Bye,
    Cancel,
    Drain,
    Failed,
    Generate,
    Hello,
    Image,
    Message,
    Phase,
    Ping,
    Progress,
    Ready,
    Rejected,
    SamplingSettings,
    SidecarConfig,
    UpMessage,
    Welcome,
)

FAKE_SIDECAR = Path("test") / "fixtures" / "fake_sidecar.py"
# Far longer than anything takes: reached only when something is wrong.
PATIENCE_MS = 20_000

CONFIG = SidecarConfig(
    checkpoint="/nowhere",
    vqgan=None,
    slots=2,
    chunk_tokens=16,
    precision="auto",
    cache_dir=None,
    beat_interval_ms=60_000,
)

M = TypeVar("M")


def make_task(task_id: str = "a", attempt: int = 1) -> Generate:
    return Generate(task_id, attempt, "a red circle", 7, SamplingSettings(), 0, 60_000)


class Host:
    """The server's end of the conversation with one sidecar process."""

    def __init__(self, repo_root: Path, folder: Path) -> None:
        self._repo_root = repo_root
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._endpoint = f"ipc://{folder}/s"
        self._router.bind(self._endpoint)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *args: str, env: dict[str, str] | None = None) -> None:
        connection = ["--endpoint", self._endpoint, "--identity", "s0-g1"]
        secrets = {
            "DALLE_SIDECAR_TOKEN": "secret",
            "DALLE_SIDECAR_GENERATION": "1",
            "DALLE_SIDECAR_PARENT_PID": str(os.getpid()),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(FAKE_SIDECAR), *args, *connection],
            cwd=self._repo_root,
            env={**os.environ, **secrets, **(env or {})},
            stdin=subprocess.PIPE,
        )

    def start_ready(self, *args: str, config: SidecarConfig = CONFIG) -> None:
        self.start(*args)
        self.expect(Hello)
        self.send(Welcome(config))
        self.expect(Ready)

    def send(self, message: Message) -> None:
        self.send_frames(encode(message))

    def send_frames(self, frames: list[bytes]) -> None:
        self._router.send_multipart([b"s0-g1", *frames])

    def receive(self) -> UpMessage:
        assert self._router.poll(PATIENCE_MS), "the sidecar says nothing"
        identity, *frames = self._router.recv_multipart()
        assert identity == b"s0-g1"
        message = decode_up(frames)
        assert message is not None
        return message

    def expect_one_of(self, *kinds: type[UpMessage]) -> UpMessage:
        """The next message of one of these kinds; those of other kinds are passed over."""
        while True:
            message = self.receive()
            if isinstance(message, kinds):
                return message

    def expect(self, kind: type[M], fits: Callable[[M], bool] = lambda _message: True) -> M:
        """The next message of a kind that fits; others are passed over."""
        while True:
            message = self.receive()
            if isinstance(message, kind) and fits(message):
                return message

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(PATIENCE_MS / 1000)

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdin is not None
            self.process.stdin.close()
        self._router.close(linger=0)
        self._context.term()


@pytest.fixture
def host(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(repo_root, tmp_path_factory.mktemp("s"))
    yield host
    host.close()


def test_hello_says_who_it_is(host: Host) -> None:
    host.start()

    hello = host.expect(Hello)

    assert host.process is not None
    assert (hello.pid, hello.generation, hello.token) == (host.process.pid, 1, "secret")


def test_a_ping_is_answered_with_its_sequence_while_a_task_hangs(host: Host) -> None:
    host.start_ready("--fault", "hang", "--at", "generating")
    host.send(make_task())
    host.expect(Accepted)

    host.send(Ping(41))
    host.send(Ping(42))

    host.expect(Beat, lambda beat: beat.sequence == 41)
    beat = host.expect(Beat, lambda beat: beat.sequence == 42)
    assert beat.rss_bytes > 0


def test_beats_come_without_being_asked_for(host: Host) -> None:
    config = SidecarConfig("/nowhere", None, 2, 16, "auto", None, 10)
    host.start_ready(config=config)

    beats = [host.expect(Beat) for _ in range(5)]

    assert [beat.sequence for beat in beats] == [0] * 5
    assert beats[-1].phase == "idle"


def test_a_task_is_accepted_first_and_then_answered(host: Host) -> None:
    host.start_ready("--chunks", "2")

    host.send(make_task())

    kinds = [type(host.expect_one_of(Accepted, Progress, Image)) for _ in range(5)]
    assert kinds == [Accepted, *[Progress] * 3, Image]


def test_a_task_that_is_sent_twice_is_accepted_twice_and_made_once(
    host: Host, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    host.start_ready("--gate", str(gate))
    host.send(make_task())
    host.send(make_task())
    assert [host.expect(Accepted).task_id for _ in range(2)] == ["a", "a"]

    gate.touch()
    host.expect(Image)
    host.send(Drain())

    assert isinstance(host.expect_one_of(Image, Bye), Bye)


def test_a_task_before_ready_is_rejected(host: Host) -> None:
    host.start("--fault", "hang", "--at", "loading")
    host.expect(Hello)
    host.send(Welcome(CONFIG))

    host.send(make_task())

    rejected = host.expect(Rejected)
    assert (rejected.task_id, rejected.code) == ("a", "engine_error")
    assert rejected.message == "the sidecar is not ready yet"


def test_a_cancel_is_obeyed_and_one_for_nobody_is_ignored(host: Host, tmp_path: Path) -> None:
    host.start_ready("--gate", str(tmp_path / "gate"))
    host.send(Cancel("nobody"))
    host.send(make_task())

    host.send(Cancel("a"))
    host.send(Cancel("a"))

    failed = host.expect(Failed)
    assert (failed.task_id, failed.code, failed.fatal) == ("a", "cancelled", False)


def test_a_second_attempt_outlives_the_cancel_of_the_first_and_a_drain(
    host: Host, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    host.start_ready("--gate", str(gate))
    host.send(make_task())
    host.send(Cancel("a"))
    host.send(make_task(attempt=2))
    host.send(Drain())
    failed = host.expect(Failed)

    gate.touch()
    image = host.expect_one_of(Image, Bye)

    assert (failed.attempt, failed.code) == (1, "cancelled")
    assert isinstance(image, Image)
    assert image.attempt == 2
    assert isinstance(host.expect_one_of(Image, Bye), Bye)


@pytest.mark.parametrize("how", ["DRAIN", "SIGTERM", "SIGINT"])
def test_a_drain_finishes_what_runs_and_takes_nothing_new(
    host: Host, tmp_path: Path, how: str
) -> None:
    gate = tmp_path / "gate"
    host.start_ready("--gate", str(gate))
    host.send(make_task("a"))
    host.expect(Progress)

    if how == "DRAIN":
        host.send(Drain())
    else:
        assert host.process is not None
        host.process.send_signal(signal.Signals[how])
        # Which of the two it sees first is open: ask until the signal has been seen.
        attempt = 1
        host.send(make_task("b", attempt))
        while isinstance(host.expect_one_of(Accepted, Rejected), Accepted):
            attempt += 1
            host.send(make_task("b", attempt))
    host.send(make_task("c"))

    rejected = host.expect(Rejected, lambda message: message.task_id == "c")
    assert rejected.code == "draining"
    gate.touch()
    assert host.expect(Image).task_id == "a"
    assert host.expect(Bye).reason == "drained"
    assert host.wait() == 0


def test_a_drain_while_it_loads_ends_at_once(host: Host) -> None:
    host.start("--fault", "hang", "--at", "loading")
    host.expect(Hello)
    host.send(Welcome(CONFIG))
    host.expect(Phase)

    host.send(Drain())

    host.expect(Bye)
    assert host.wait() == 0


def test_a_signal_before_welcome_ends_it(host: Host) -> None:
    host.start()
    host.expect(Hello)
    assert host.process is not None

    host.process.terminate()

    assert host.wait() == 0


def test_a_checkpoint_that_is_not_there_is_said_and_ends_with_its_exit_code(host: Host) -> None:
    host.start("--fault", "checkpoint-missing", "--at", "loading")
    host.expect(Hello)
    host.send(Welcome(CONFIG))

    failed = host.expect(Failed)

    assert (failed.task_id, failed.code, failed.fatal) == (None, "checkpoint_not_found", True)
    assert not failed.retryable
    assert host.wait() == 3


def test_a_failure_that_another_start_may_cure_ends_with_another_exit_code(host: Host) -> None:
    host.start_ready("--fault", "device-error", "--at", "generating")
    host.send(make_task())

    failed = host.expect(Failed)

    assert (failed.code, failed.fatal, failed.retryable) == ("device_error", True, True)
    assert host.wait() == 1


def test_a_message_of_a_later_release_is_ignored(host: Host) -> None:
    host.start_ready()

    host.send_frames([MAGIC.encode(), b"TELEMETRY", b"\xff"])
    host.send(Ping(1))

    host.expect(Beat, lambda beat: beat.sequence == 1)


@pytest.mark.parametrize(
    ("frames", "code", "words"),
    [
        ([MAGIC.encode(), b"PING", b"{}"], "protocol_error", "malformed PING: sequence"),
        (
            [MAGIC.encode(), b"BYE", b'{"reason":""}'],
            "protocol_error",
            "a message that travels down",
        ),
        ([b"DALLE/999", b"PING", b'{"sequence":1}'], "version_mismatch", f"{MAGIC}, got DALLE/999"),
        (encode(Welcome(CONFIG)), "protocol_error", "expected one WELCOME"),
    ],
    ids=["malformed", "wrong way", "wrong version", "second welcome"],
)
def test_what_the_server_may_not_send_is_refused(
    host: Host, frames: list[bytes], code: str, words: str
) -> None:
    host.start_ready()

    host.send_frames(frames)

    failed = host.expect(Failed)
    assert (failed.code, failed.fatal) == (code, True)
    assert failed.retryable == (code != "version_mismatch")
    assert words in failed.message
    assert host.wait() == 4


def test_a_command_before_welcome_is_refused(host: Host) -> None:
    host.start()
    host.expect(Hello)

    host.send(make_task())

    assert "expected WELCOME first" in host.expect(Failed).message
    assert host.wait() == 4


def test_the_end_of_standard_input_ends_it(host: Host) -> None:
    host.start_ready()
    assert host.process is not None
    assert host.process.stdin is not None

    host.process.stdin.close()

    assert host.wait() == 1


def test_a_parent_that_is_another_than_expected_has_gone_already(host: Host) -> None:
    host.start(env={"DALLE_SIDECAR_PARENT_PID": str(2**22 + 1)})

    assert host.wait() == 1


def test_the_stacks_of_all_threads_are_printed_on_request(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    host.start_ready("--fault", "hang", "--at", "generating")
    host.send(make_task())
    host.expect(Accepted)
    assert host.process is not None

    host.process.send_signal(signal.SIGUSR1)
    host.send(Ping(1))
    host.expect(Beat, lambda beat: beat.sequence == 1)

    host.process.kill()
    host.wait()
    assert "fake_compute.py" in capfd.readouterr().err


def run_module(repo_root: Path, *args: str, env: dict[str, Any]) -> tuple[int, str]:
    """Run the real program; it ends before it needs a server."""
    inherited = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    result = subprocess.run(
        [sys.executable, "-m", "sidecar", *args],
        cwd=repo_root,
        env={**inherited, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_MS / 1000,
        check=False,
    )
    return result.returncode, result.stderr


def test_the_program_says_what_it_needs(repo_root: Path) -> None:
    code, error = run_module(repo_root, env={})

    assert code == 2
    assert "--endpoint" in error


def test_the_program_is_not_started_by_hand(repo_root: Path) -> None:
    code, error = run_module(repo_root, "--endpoint", "ipc://x", "--identity", "x", env={})

    assert code == 2
    assert "the sidecar is started by the server, not by hand" in error


def test_the_fake_sidecar_and_the_server_load_no_jax(repo_root: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, 'test/fixtures'); import fake_sidecar; "
        "print({'jax', 'jaxlib', 'flax', 'numpy'} & set(sys.modules))"
    )

    output = subprocess.run(
        [sys.executable, "-c", program], cwd=repo_root, capture_output=True, text=True, check=True
    ).stdout

    assert output.strip() == "set()"
