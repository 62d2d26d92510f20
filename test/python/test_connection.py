"""How the sidecar learns where the server is, and how it gets in."""

import os
import subprocess
import sys

import pytest
import zmq
from conftest import REPO_ROOT

from sidecar import exit_codes
from sidecar.cli import read_connection
from sidecar.connection import Connection, CurveKeys, describe_obstacle

TCP = ["--endpoint", "tcp://127.0.0.1:1", "--identity", "s0-g1"]
IPC = ["--endpoint", "ipc:///run/s.sock", "--identity", "s0-g1"]
SECRETS = {"DALLE_SIDECAR_TOKEN": "secret", "DALLE_SIDECAR_GENERATION": "3"}
KEYS = {
    "DALLE_SIDECAR_SERVER_KEY": "s" * 40,
    "DALLE_SIDECAR_PUBLIC_KEY": "p" * 40,
    "DALLE_SIDECAR_SECRET_KEY": "k" * 40,
}

# The sidecar program, with a ZeroMQ that cannot encrypt.
WITHOUT_CURVE = """
import zmq
zmq.has = lambda capability: capability != "curve"
from sidecar.__main__ import main
raise SystemExit(main())
"""


def test_keys_come_from_the_environment():
    assert read_connection(TCP, SECRETS | KEYS).keys == CurveKeys("s" * 40, "p" * 40, "k" * 40)


def test_a_socket_of_the_file_system_needs_no_keys():
    assert read_connection(IPC, SECRETS).keys is None


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ([], {}, "--endpoint"),
        (IPC, {}, "the sidecar is started by the server, not by hand"),
        *((TCP, SECRETS | KEYS | {key: ""}, "tcp is never used unencrypted") for key in KEYS),
    ],
)
def test_what_is_missing_to_connect_is_named(capsys, arguments, environment, words):
    with pytest.raises(SystemExit) as exit_info:
        read_connection(arguments, environment)
    assert exit_info.value.code == 2
    assert words in capsys.readouterr().err


def test_without_curve_it_gives_up_for_good_and_says_what_to_do():
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_CURVE, *TCP],
        cwd=REPO_ROOT,
        env={**os.environ, **SECRETS, **KEYS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == exit_codes.PERMANENT
    assert "use --sidecar_transport ipc" in ended.stderr


def test_without_curve_a_socket_of_the_file_system_still_works(monkeypatch):
    monkeypatch.setattr(zmq, "has", lambda capability: False)
    assert describe_obstacle(Connection("ipc:///run/s.sock", "s0-g1", "secret", 1)) is None
