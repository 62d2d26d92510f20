import subprocess
import sys
from pathlib import Path

import pytest


def loaded_packages(repo_root: Path, *modules: str) -> set[str]:
    """The top-level names that a fresh interpreter has loaded after importing some modules."""
    lines = [f"import {module}" for module in modules]
    lines.append("import sys; print(*{name.partition('.')[0] for name in sys.modules})")
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=repo_root,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())


@pytest.mark.parametrize("module", ["sidecar.wire.frames", "sidecar.text", "sidecar.model.config"])
def test_protocol_text_and_config_load_no_jax(repo_root: Path, module: str) -> None:
    assert loaded_packages(repo_root, module).isdisjoint({"jax", "jaxlib", "flax", "zmq"})


def test_the_io_side_loads_no_jax(repo_root: Path) -> None:
    assert loaded_packages(repo_root, "sidecar.server").isdisjoint({"jax", "jaxlib", "flax"})


def test_the_model_loads_no_sockets(repo_root: Path) -> None:
    names = [file.stem for file in (repo_root / "sidecar" / "model").glob("[a-z]*.py")]
    assert {"dallebart", "vqgan_decoder"} <= set(names)
    assert "zmq" not in loaded_packages(repo_root, *(f"sidecar.model.{name}" for name in names))


def test_no_part_of_the_model_names_the_parts_above_it(repo_root: Path) -> None:
    upper = (
        "sidecar.server",
        "sidecar.wire.frames",
        "sidecar.engine.engine",
        "sidecar.compute",
        "zmq",
    )
    for file in (repo_root / "sidecar" / "model").glob("*.py"):
        source = file.read_text(encoding="utf-8")
        for name in upper:
            assert f"import {name}" not in source, f"{file.name} imports {name}"
            assert f"from {name}" not in source, f"{file.name} imports {name}"
