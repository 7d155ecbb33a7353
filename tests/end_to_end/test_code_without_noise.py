"""A run without noise in its codes: every command works on it, and none tells nats that there are not."""

import csv
import json
import sys

import pytest

from tests.trained import DIGITS, train_once
from vae_lightning.face.opening import open_run
from vae_lightning.runs.records import RunDir

SMALL = ("data.image_size=8", "model.latent_dim=3", "trainer.max_epochs=2", "trainer.num_threads=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    path = tmp_path_factory.mktemp("point") / "run"
    return train_once(path, *DIGITS, *SMALL, "objective=rae", "model/posterior=point")


def call(command: str, monkeypatch, capsys, *arguments: str) -> str:
    from importlib import import_module

    monkeypatch.setattr(sys, "argv", [f"vae-{command}", *arguments])
    import_module(f"vae_lightning.{command}").main()
    return capsys.readouterr().out


def test_its_own_figures_have_no_rate_and_no_elbo(run):
    metrics = run.metrics()
    assert {"test/loss", "test/distortion", "test/code", "val/loss", "val/active_units"} <= metrics.keys()
    assert not [name for name in metrics if "elbo" in name or "rate" in name.split("/")]


def test_evaluation_says_why_there_is_none(run, monkeypatch, capsys, tmp_path):
    asked = "metrics=[elbo,nll,units,aggregate]"
    told = call("evaluate", monkeypatch, capsys, f"run={run.path}", asked, "device=cpu", f"out={tmp_path / 'out.json'}")
    for label in ("ELBO, rate: none, ", "NLL: none, ", "total correlation (TC), sum of KL(q(z_d) || p(z_d)): none, "):
        assert f"{label}of a code without noise there is no density" in told
    assert "active units of 3" in told
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["test/active_units"] is not None
    assert not [name for name in ("test/elbo", "test/nll", "test/rate_per_dimension") if found.get(name) is not None]


def test_its_units_are_told_and_drawn_without_kl(run, monkeypatch, capsys, tmp_path):
    for mode, files in (("units", ["units.csv"]), ("traversal", ["traversal.gif", "traversal.png"])):
        folder = tmp_path / mode
        call("generate", monkeypatch, capsys, f"run={run.path}", f"mode={mode}", f"out={folder}", "device=cpu")
        assert {path.name for path in folder.iterdir()} == {*files, "generate.json"}
    with (tmp_path / "units/units.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["kl"] for row in rows} == {""}
    variances = [float(row["variance_of_means"]) for row in rows]
    assert variances == sorted(variances, reverse=True)


def test_from_python_a_bound_is_refused_and_the_rest_works(run):
    opened = open_run(str(run.path), device="cpu")
    images = opened.sample(2)
    assert images.shape == (2, 1, 8, 8)
    assert opened.encode(images).shape == (2, 3)
    for bound in (opened.elbo, opened.log_likelihood):
        with pytest.raises(ValueError, match="this run has no ELBO and no log p"):
            bound(images)
