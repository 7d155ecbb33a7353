"""A run exported from Python is what the command exports, and opens again."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from vae_lightning.errors import UserError
from vae_lightning.face.opening import open_run
from vae_lightning.face.run import Run


def test_it_is_what_the_command_writes(export, digits_run):
    run = open_run(digits_run.path, device="cpu")
    export(f"run={digits_run.path}", "out=commanded", "license=mit")
    assert run.export("called", license="mit") == Path("called")
    names = sorted(file.name for file in Path("commanded").iterdir())
    assert names == sorted(file.name for file in Path("called").iterdir())
    assert all(Path("called", name).read_bytes() == Path("commanded", name).read_bytes() for name in names)
    given = open_run("called", device="cpu")
    assert np.array_equal(given.sample(2), run.sample(2))
    assert given.metrics == run.metrics


def test_it_is_replaced_only_if_that_is_said(digits_run, tmp_path):
    run = open_run(digits_run.path, device="cpu")
    folder = run.export(tmp_path / "model")
    with pytest.raises(UserError, match=r"is not empty; overwrite=True replaces"):
        run.export(folder)
    run.export(folder, dtype="float16", overwrite=True)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"folder": ""}, "folder: expected a path, got ''"),
        ({"folder": 3}, "folder: expected a path, got 3"),
        ({"dtype": "int8"}, "dtype: expected one of float32, float16, got 'int8'"),
        ({"license": 3}, "license: expected a name, such as mit, got 3"),
        ({"license": "M I T"}, "license must be a name that the Hugging Face Hub has"),
        ({"overwrite": 1}, "overwrite: expected True or False, got 1"),
    ],
)
def test_a_mistake_is_a_value_error(given, message, digits_run, tmp_path):
    run = open_run(digits_run.path, device="cpu")
    with pytest.raises(ValueError, match=f"^{message}"):
        inspect.unwrap(Run.export)(run, **({"folder": tmp_path / "model"} | given))
    assert not list(tmp_path.iterdir())


def test_a_run_is_not_written_into(digits_run):
    run = open_run(digits_run.path, device="cpu")
    with pytest.raises(ValueError, match=r"^folder: .* is a run's directory; give a folder of its own$"):
        run.export(digits_run.path, overwrite=True)
