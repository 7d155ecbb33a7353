"""What docs/evaluate.md says holds: its commands on a sweep do it, and of BatchNorm; those that take long compose."""

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.pages import ROOT, commands_of, page
from tests.test_config import composed

PAGE = page("docs/evaluate.md")
COMPARED, OF_BATCHNORM = PAGE.of("python")
*_, TRAINED = PAGE.of("bash")  # the models with BatchNorm
OF_A_SWEEP = PAGE.commands[: -len(commands_of(TRAINED))]
TRAIN = "python -m vae_lightning.train "


@pytest.fixture
def elbo_of() -> Callable[..., Tensor]:
    names: dict[str, Any] = {}
    exec(OF_BATCHNORM, names)
    return names["elbo_of"]


@pytest.fixture
def images(colour) -> Tensor:
    return torch.cat([batch.images for batch in colour.data.stream("test")]).float() / 255


def test_an_opened_run_goes_by_its_stored_statistics(colour, elbo_of, images):
    assert any(isinstance(part, nn.BatchNorm2d) for part in colour.vae.modules())
    assert not any(part.training for part in colour.vae.modules())
    whole = elbo_of(colour.vae, images, len(images), False)
    for size in (1, 5):
        torch.testing.assert_close(elbo_of(colour.vae, images, size, False), whole, rtol=1e-4, atol=1e-2)


def test_in_training_mode_the_figure_is_the_batchs(colour, elbo_of, images):
    whole, halves = (elbo_of(colour.vae, images, size, True) for size in (len(images), len(images) // 2))
    stored = elbo_of(colour.vae, images, len(images), False)
    assert ((whole - halves).abs() > 0.1).all()
    assert ((whole - stored).abs() > 0.1).all()


@pytest.mark.parametrize("line", commands_of(TRAINED))
def test_its_commands_compose(line):
    assert composed(*shlex.split(line.removeprefix(TRAIN)))["model"]["encoder"]


def test_the_tests_that_it_names_are_there():
    named = re.findall(r"`((?:tests|vae_lightning)/[\w/.]+)`", PAGE.text)
    assert len(named) >= 5
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_sweep_that_it_starts_composes():
    (line,) = (line for line in OF_A_SWEEP if " -m data" in line)
    words = shlex.split(line.removeprefix(f"{TRAIN}-m ").replace("2,8,32", "2"))
    assert composed(*words)["model"]["latent_dim"] == 2


def test_its_commands_on_a_sweep_do_it(monkeypatch, tmp_path, capsys, digits_run):
    from vae_lightning import evaluate, generate, train

    monkeypatch.chdir(tmp_path)
    for number in range(3):
        shutil.copytree(digits_run.path, f"outputs/dims/{number}")
    mains = {name: module.main for name, module in {"evaluate": evaluate, "generate": generate, "train": train}.items()}
    same = ["trainer=cpu", "model.encoder.hidden=[16]", "model.decoder.hidden=[16]", "model.latent_dim=4"]
    bare = ["logger=none", "callbacks=none", "trainer.max_epochs=1", "run_dir=outputs/new"]
    for line in (line for line in OF_A_SWEEP if " -m data" not in line):
        name, *words = shlex.split(line.removeprefix("python -m vae_lightning."))
        here = [word for word in words if not word.startswith("hydra")]  # others' processes take seconds
        more = [*same, *bare] if name == "train" else ["device=cpu"]
        monkeypatch.setattr(sys, "argv", [f"vae-{name}", *here, *more])
        mains[name]()
    printed = capsys.readouterr().out
    assert printed.count("computed now: elbo, nll") == 3
    assert printed.count("recorded already: elbo, nll;") == 3
    assert printed.count("recorded already: units;") == 3
    assert re.findall(r"(run|init_from)=best@outputs/dims: outputs/dims/0", printed) == ["run", "run", "init_from"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outputs"]
    exec(COMPARED, {})
    assert capsys.readouterr().out == "0.00 +- 0.00 nats\n"
