"""How the sidecar learns where the server is, and how it gets in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from sidecar import exit_codes
from sidecar.cli import read_connection
from sidecar.connection import Connection, CurveKeys, describe_obstacle

ARGS = ["--endpoint", "tcp://127.0.0.1:1", "--identity", "s0-g1"]
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


def test_keys_come_from_the_environment() -> None:
    connection = read_connection(ARGS, SECRETS | KEYS)

    assert connection.keys == CurveKeys("s" * 40, "p" * 40, "k" * 40)


def test_a_socket_of_the_file_system_needs_no_keys() -> None:
    connection = read_connection(["--endpoint", "ipc:///run/s.sock", *ARGS[2:]], SECRETS)

    assert connection.keys is None


@pytest.mark.parametrize("missing", KEYS)
def test_tcp_without_every_key_is_refused(missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {name: key for name, key in KEYS.items() if name != missing}

    with pytest.raises(SystemExit) as exit_info:
        read_connection(ARGS, SECRETS | keys)

    assert exit_info.value.code == 2
    assert "tcp is never used unencrypted" in capsys.readouterr().err


def test_without_curve_it_gives_up_for_good_and_says_what_to_do(repo_root: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_CURVE, *ARGS],
        cwd=repo_root,
        env={**os.environ, **SECRETS, **KEYS},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == exit_codes.PERMANENT
    assert "use --sidecar_transport ipc" in ended.stderr


def test_without_curve_a_socket_of_the_file_system_still_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zmq, "has", lambda capability: False)

    assert describe_obstacle(Connection("ipc:///run/s.sock", "s0-g1", "secret", 1)) is None
