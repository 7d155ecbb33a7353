"""Importing the package costs nothing until a name is used, and the names are those that it tells."""

import ast
import importlib
import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import vae_lightning

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numpy", "lightning", "hydra", "omegaconf", "PIL")


def after(script: str) -> list[str]:
    """The heavy libraries that a fresh interpreter has imported after a script."""
    tell = f"{script}\nimport json, sys\nprint(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", tell], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_the_package_imports_nothing_heavy():
    assert after("import vae_lightning\nvae_lightning.__version__, dir(vae_lightning)") == []


def test_importing_the_package_is_a_matter_of_milliseconds():
    script = "import time; start = time.perf_counter(); import vae_lightning; print(time.perf_counter() - start)"
    times = []
    for _ in range(3):  # of which other processes may have slowed one down
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        times.append(float(done.stdout))
    assert min(times) < 0.05


def test_the_plain_pytorch_parts_come_without_lightning_and_hydra():
    names = "VAE, Ladder, build_vae, ELBO, IWAE, GECO, Capacity, FreeBits, Fresh, Progress"
    assert after(f"from vae_lightning import {names}") == ["torch", "numpy"]


@pytest.mark.parametrize("name", vae_lightning.__all__)
def test_every_name_is_there(name):
    assert getattr(vae_lightning, name) is not None
    assert name in dir(vae_lightning)


def test_a_type_checker_is_told_the_same_homes():
    tree = ast.parse(Path(vae_lightning.__file__).read_text())
    (told,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    homes = {alias.name: line.module for line in told.body for alias in line.names}
    assert homes == {name: f"vae_lightning.{home}" for name, home in vae_lightning._HOMES.items()}
    assert {*homes, "__version__"} == set(vae_lightning.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'vae_lightning' has no attribute 'nothing'"):
        vae_lightning.nothing  # noqa: B018
    with pytest.raises(ImportError):
        importlib.import_module("vae_lightning.nothing")


def test_it_is_typed():
    assert files("vae_lightning").joinpath("py.typed").is_file()
