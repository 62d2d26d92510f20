"""Which packages a part of the sidecar may load, and which parts it may import."""

import ast
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


MAY_IMPORT: dict[str, set[str]] = {
    "wire": set(),
    "text": set(),
    "model": set(),
    "checkpoint": {"model", "text", "units", "wire"},
    "hub": {"checkpoint", "exit_codes", "orphan_guard", "units"},
    "engine": {"checkpoint", "model", "wire"},
}


def imported_parts(file: Path) -> set[str]:
    """The parts of the sidecar, its packages and single modules, that a file names in an import."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("sidecar.")}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_parts_below_it(repo_root: Path, package: str) -> None:
    files = list((repo_root / "sidecar" / package).glob("*.py"))
    assert files
    for file in files:
        assert imported_parts(file) <= {package, *MAY_IMPORT[package]}, file.name


def test_every_package_has_its_place_in_the_order(repo_root: Path) -> None:
    packages = {file.parent.name for file in (repo_root / "sidecar").glob("*/__init__.py")}
    assert packages == set(MAY_IMPORT)
