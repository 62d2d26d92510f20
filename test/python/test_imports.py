"""Which packages a part of the sidecar may load, and which parts it may import."""

import ast
import os
import subprocess
import sys

import pytest
from conftest import REPO_ROOT

JAX = {"jax", "jaxlib", "flax"}


def loaded_packages(*modules):
    """The top-level names that a fresh interpreter has loaded after importing some modules."""
    lines = [f"import {module}" for module in modules]
    lines.append("import sys; print(*{name.partition('.')[0] for name in sys.modules})")
    environment = {**os.environ, "PYTHONPATH": "test/fixtures"}
    command = [sys.executable, "-c", "\n".join(lines)]
    return set(subprocess.check_output(command, cwd=REPO_ROOT, env=environment, text=True).split())


@pytest.mark.parametrize(
    ("module", "refused"),
    [
        ("sidecar.wire.frames", JAX | {"zmq"}),
        ("sidecar.text", JAX | {"zmq"}),
        ("sidecar.model.config", JAX | {"zmq"}),
        ("sidecar.server", JAX),
        ("fake_sidecar", JAX | {"numpy"}),
    ],
)
def test_a_part_loads_no_heavy_package_that_it_does_not_need(module, refused):
    assert loaded_packages(module).isdisjoint(refused)


def test_the_model_loads_no_sockets():
    names = [file.stem for file in (REPO_ROOT / "sidecar" / "model").glob("[a-z]*.py")]
    assert {"dallebart", "vqgan_decoder"} <= set(names)
    assert "zmq" not in loaded_packages(*(f"sidecar.model.{name}" for name in names))


MAY_IMPORT = {
    "wire": set(),
    "text": set(),
    "model": set(),
    "checkpoint": {"model", "text", "units", "wire"},
    "hub": {"checkpoint", "exit_codes", "orphan_guard", "units"},
    "engine": {"checkpoint", "model", "wire"},
}


def imported_parts(file):
    """The parts of the sidecar, its packages and single modules, that a file names in an import."""
    names = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("sidecar.")}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_parts_below_it(package):
    files = list((REPO_ROOT / "sidecar" / package).glob("*.py"))
    assert files
    for file in files:
        assert imported_parts(file) <= {package, *MAY_IMPORT[package]}, file.name


def test_every_package_has_its_place_in_the_order():
    packages = {file.parent.name for file in (REPO_ROOT / "sidecar").glob("*/__init__.py")}
    assert packages == set(MAY_IMPORT)
