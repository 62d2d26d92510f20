"""The I/O thread in a real process over a real socket; the compute thread is scripted."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, replace

import pytest
import zmq
from conftest import REPO_ROOT

from sidecar.wire import messages as wire
from sidecar.wire.frames import MAGIC, decode_up, encode

# Far longer than anything takes: reached only when something is wrong.
PATIENCE_MS = 20_000
IDENTITY = b"s0-g1"

CONFIG = wire.SidecarConfig(
    checkpoint="/nowhere",
    vqgan=None,
    slots=2,
    chunk_tokens=16,
    precision="auto",
    cache_dir=None,
    beat_interval_ms=60_000,
)
TASK = wire.Generate("a", 1, "a red circle", 7, wire.SamplingSettings(), 0, 60_000)


class Host:
    """The server's end of the conversation with one sidecar process."""

    def __init__(self, folder):
        self.endpoint = f"ipc://{folder}/s"
        self.context = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.bind(self.endpoint)

    def start(self, *args, parent_pid=None):
        program = REPO_ROOT / "test" / "fixtures" / "fake_sidecar.py"
        connection = ["--endpoint", self.endpoint, "--identity", IDENTITY]
        environment = {
            "DALLE_SIDECAR_TOKEN": "secret",
            "DALLE_SIDECAR_GENERATION": "1",
            "DALLE_SIDECAR_PARENT_PID": str(parent_pid or os.getpid()),
        }
        self.process = subprocess.Popen(
            [sys.executable, program, *args, *connection],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
        )

    def start_loading(self, *args, config=CONFIG):
        self.start(*args)
        self.expect(wire.Hello)
        self.send(wire.Welcome(config))

    def start_ready(self, *args, config=CONFIG):
        self.start_loading(*args, config=config)
        self.expect(wire.Ready)

    def send(self, *messages):
        for message in messages:
            self.send_frames(encode(message))

    def send_frames(self, frames):
        self.router.send_multipart([IDENTITY, *frames])

    def expect(self, *kinds, **fields):
        """The next message of one of the kinds that has the fields; others are passed over."""
        while True:
            assert self.router.poll(PATIENCE_MS), "the sidecar says nothing"
            identity, *frames = self.router.recv_multipart()
            assert identity == IDENTITY
            message = decode_up(frames)
            assert message is not None
            if isinstance(message, kinds) and fields.items() <= asdict(message).items():
                return message

    def wait(self):
        return self.process.wait(PATIENCE_MS / 1000)

    def close(self):
        self.process.kill()
        self.process.communicate()
        self.context.destroy(linger=0)


@pytest.fixture
def host(tmp_path_factory):
    # Not tmp_path: the path of a socket must be short.
    with closing(Host(tmp_path_factory.mktemp("s"))) as host:
        yield host


def test_hello_says_who_it_is(host):
    host.start()
    hello = host.expect(wire.Hello)
    assert (hello.pid, hello.generation, hello.token) == (host.process.pid, 1, "secret")


def test_a_ping_is_answered_with_its_sequence_while_a_task_hangs(host):
    host.start_ready("--fault", "hang", "--at", "generating")
    host.send(TASK)
    host.expect(wire.Accepted)

    host.send(wire.Ping(41), wire.Ping(42))

    host.expect(wire.Beat, sequence=41)
    assert host.expect(wire.Beat, sequence=42).rss_bytes > 0


def test_beats_come_without_being_asked_for(host):
    host.start_ready(config=replace(CONFIG, beat_interval_ms=10))

    beats = [host.expect(wire.Beat) for _ in range(5)]

    assert [beat.sequence for beat in beats] == [0] * 5
    assert beats[-1].phase == "idle"


def test_a_task_is_accepted_first_and_then_answered(host):
    host.start_ready("--chunks", "2")

    host.send(TASK)

    kinds = [type(host.expect(wire.Accepted, wire.Progress, wire.Image)) for _ in range(5)]
    assert kinds == [wire.Accepted, *[wire.Progress] * 3, wire.Image]


def test_a_task_that_is_sent_twice_is_accepted_twice_and_made_once(host, tmp_path):
    gate = tmp_path / "gate"
    host.start_ready("--gate", gate)
    host.send(TASK, TASK)
    assert [host.expect(wire.Accepted).task_id for _ in range(2)] == ["a", "a"]

    gate.touch()
    host.expect(wire.Image)
    host.send(wire.Drain())

    assert isinstance(host.expect(wire.Image, wire.Bye), wire.Bye)


def test_a_task_before_ready_is_rejected(host):
    host.start_loading("--fault", "hang", "--at", "loading")

    host.send(TASK)

    rejected = host.expect(wire.Rejected)
    assert (rejected.task_id, rejected.code) == ("a", "engine_error")
    assert rejected.message == "the sidecar is not ready yet"


def test_a_cancel_is_obeyed_and_one_for_nobody_is_ignored(host, tmp_path):
    host.start_ready("--gate", tmp_path / "gate")

    host.send(wire.Cancel("nobody"), TASK, wire.Cancel("a"), wire.Cancel("a"))

    failed = host.expect(wire.Failed)
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
def test_a_drain_finishes_what_runs_and_takes_nothing_new(host, tmp_path, how):
    gate = tmp_path / "gate"
    host.start_ready("--gate", gate)
    host.send(TASK)
    host.expect(wire.Progress)

    if how == "DRAIN":
        host.send(wire.Drain())
    else:
        host.process.send_signal(signal.Signals[how])
        # Which of the two it sees first is open: ask until the signal has been seen.
        another = replace(TASK, task_id="b")
        host.send(another)
        while isinstance(host.expect(wire.Accepted, wire.Rejected), wire.Accepted):
            another = replace(another, attempt=another.attempt + 1)
            host.send(another)
    host.send(replace(TASK, task_id="c"))

    assert host.expect(wire.Rejected, task_id="c").code == "draining"
    gate.touch()
    assert host.expect(wire.Image).task_id == "a"
    assert host.expect(wire.Bye).reason == "drained"
    assert host.wait() == 0


def test_a_drain_while_it_loads_ends_at_once(host):
    host.start_loading("--fault", "hang", "--at", "loading")
    host.expect(wire.Phase)
    host.send(wire.Drain())
    host.expect(wire.Bye)
    assert host.wait() == 0


def test_a_signal_before_welcome_ends_it(host):
    host.start()
    host.expect(wire.Hello)
    host.process.terminate()
    assert host.wait() == 0


@pytest.mark.parametrize(
    ("fault", "place", "task_id", "code", "retryable", "exit_code"),
    [
        ("checkpoint-missing", "loading", None, "checkpoint_not_found", False, 3),
        ("device-error", "generating", "a", "device_error", True, 1),
    ],
)
def test_a_fatal_failure_is_said_and_ends_with_the_exit_code_of_what_may_cure_it(
    host, fault, place, task_id, code, retryable, exit_code
):
    host.start_loading("--fault", fault, "--at", place)
    if task_id is not None:
        host.expect(wire.Ready)
        host.send(TASK)

    failed = host.expect(wire.Failed)

    assert (failed.task_id, failed.code) == (task_id, code)
    assert (failed.fatal, failed.retryable) == (True, retryable)
    assert host.wait() == exit_code


def test_a_message_of_a_later_release_is_ignored(host):
    host.start_ready()
    host.send_frames([MAGIC.encode(), b"TELEMETRY", b"\xff"])
    host.send(wire.Ping(1))
    host.expect(wire.Beat, sequence=1)


@pytest.mark.parametrize(
    ("frames", "code", "words"),
    [
        ([MAGIC.encode(), b"PING", b"{}"], "protocol_error", "malformed PING: sequence"),
        (encode(wire.Bye("")), "protocol_error", "a message that travels down"),
        ([b"DALLE/999", b"PING", b'{"sequence":1}'], "version_mismatch", f"{MAGIC}, got DALLE/999"),
        (encode(wire.Welcome(CONFIG)), "protocol_error", "expected one WELCOME"),
    ],
    ids=["malformed", "wrong way", "wrong version", "second welcome"],
)
def test_what_the_server_may_not_send_is_refused(host, frames, code, words):
    host.start_ready()

    host.send_frames(frames)

    failed = host.expect(wire.Failed)
    assert (failed.code, failed.fatal) == (code, True)
    assert failed.retryable == (code != "version_mismatch")
    assert words in failed.message
    assert host.wait() == 4


def test_a_command_before_welcome_is_refused(host):
    host.start()
    host.expect(wire.Hello)
    host.send(TASK)
    assert "expected WELCOME first" in host.expect(wire.Failed).message
    assert host.wait() == 4


def test_the_end_of_standard_input_ends_it(host):
    host.start_ready()
    host.process.stdin.close()
    assert host.wait() == 1


def test_a_parent_that_is_another_than_expected_has_gone_already(host):
    host.start(parent_pid=2**22 + 1)
    assert host.wait() == 1


def test_the_stacks_of_all_threads_are_printed_on_request(host, capfd):
    host.start_ready("--fault", "hang", "--at", "generating")
    host.send(TASK)
    host.expect(wire.Accepted)

    host.process.send_signal(signal.SIGUSR1)
    host.send(wire.Ping(1))
    host.expect(wire.Beat, sequence=1)

    host.close()
    assert "fake_compute.py" in capfd.readouterr().err
