"""What docs/disentanglement.md has one type runs, and what it says of the scores is so."""

import inspect
import re
import shlex
import sys

import pytest

import vae_lightning.latents
from tests.pages import page
from tests.test_config import composed
from tests.trained import train_once
from vae_lightning.metrics.disentanglement import Disentanglement

PAGE = page("docs/disentanglement.md")
TRAIN, *EVALUATE = PAGE.commands
SMALL = ["data.num_scales=2", "data.num_orientations=2", "data.num_positions=4", "data.test_fraction=0.3"]
RUN = "run=latest"


def words(line: str) -> list[str]:
    """What is typed after `python -m vae_lightning.<command>`."""
    return shlex.split(line)[3:]


def test_its_commands_run(tmp_path, monkeypatch, capsys):
    from vae_lightning.evaluate import main

    assert composed(*words(TRAIN))["objective"]["beta"] == 4
    hidden = ["model.encoder.hidden=[8]", "model.decoder.hidden=[8]", "model.latent_dim=3"]
    cache = ["trainer=cpu", "trainer.max_epochs=1", f"data.cache_dir={tmp_path / 'cache'}", "data.batch_size=8"]
    run = train_once(tmp_path / "run", *words(TRAIN), *SMALL, *hidden, *cache)
    found = []
    for line in EVALUATE:
        assert RUN in line
        typed = [f"run={run.path}" if word == RUN else word for word in words(line)]
        quick = ["disentanglement.num_resamples=2", "device=cpu"]
        monkeypatch.setattr(sys, "argv", ["vae-evaluate", *typed, *quick])
        main()
        found.append(run.metrics()["test/disentanglement_factors"])
    assert found == [
        ["shape", "scale", "orientation", "position_x", "position_y"],
        ["scale", "position_x", "position_y"],
    ]


def test_its_python_runs(capsys):
    names: dict = {}
    (block,) = PAGE.of("python")
    exec(compile(block, "docs/disentanglement.md", "exec"), names)
    assert 0.4 < names["found"].low < names["found"].value < 0.7  # two of three factors have a latent of their own
    told, scores = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"0\.\d{3} \+- 0\.\d{3}, from 0\.\d{3} to 0\.\d{3}", told)
    assert all(f"'{name}'" in scores for name in names["scores"])


def test_every_score_has_a_row_and_its_number_of_resamples():
    told = re.findall(r"^\| `(\w+)` \|", PAGE.part("The scores").text, re.MULTILINE)
    assert sorted(told) == sorted(
        [
            *("beta_vae_score", "factor_vae_score", "mig", "sap", "modularity", "explicitness"),
            *("dci_disentanglement", "dci_completeness", "dci_informativeness"),
        ]
    )
    numbers = {"mig": 200, "modularity": 200, "beta_vae_score": 20, "factor_vae_score": 20, "sap": 20, "dci": 10}
    for name, number in (numbers | {"explicitness": 10}).items():
        function = getattr(vae_lightning.latents, name)
        assert inspect.signature(function).parameters["num_resamples"].default == number


@pytest.mark.parametrize("key", ["factors", "num_images", "num_resamples"])
def test_every_setting_is_told(key):
    assert hasattr(Disentanglement(), key)
    assert f"`disentanglement.{key}" in PAGE.text
