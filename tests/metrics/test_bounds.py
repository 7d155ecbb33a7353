"""How many latents of each image the ELBO is of: as many as the run's objective draws, wherever that is said."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from vae_lightning.errors import UserError
from vae_lightning.machine.world import World
from vae_lightning.metrics.bounds import Bounds
from vae_lightning.metrics.log_likelihood import LogLikelihood
from vae_lightning.metrics.record import paragraph
from vae_lightning.metrics.subject import Subject
from vae_lightning.runs.trained import TrainedRun

IWAE = "vae_lightning.objectives.iwae.IWAE"


def num_samples(run: TrainedRun, objective: Any) -> int:
    changed = dataclasses.replace(run, config=run.config | {"objective": objective})
    return Bounds()(Subject(changed, "test", 0, 100, World())).facts["num_samples"]


def test_a_number_that_the_config_leaves_to_the_class_is_the_classs(digits):
    assert num_samples(digits, {"_target_": IWAE}) == 5
    assert num_samples(digits, {"_target_": IWAE, "num_samples": 3}) == 3
    assert num_samples(digits, {"_target_": "vae_lightning.objectives.elbo.ELBO"}) == 1


def test_one_that_is_asked_for_comes_first(digits):
    assert Bounds(num_samples=2)(Subject(digits, "test", 0, 100, World())).facts["num_samples"] == 2


@pytest.mark.parametrize("value", [0, 10_001, True, 1.5, "many"])
def test_what_is_no_such_number_is_told(digits, value):
    with pytest.raises(UserError, match=r"not of 1 to 10000; give elbo\.num_samples=$"):
        num_samples(digits, {"_target_": IWAE, "num_samples": value})


def test_a_class_that_is_not_trusted_is_not_asked_which_is_told(digits, told):
    assert num_samples(digits, {"_target_": "mine.Bound"}) == 1
    (line,) = told()
    assert line.startswith(
        "objective._target_=mine.Bound: a stored config may only build what is derived from Objective in vae_"
    )
    assert line.endswith("trust=[mine]; or give elbo.num_samples=: until then, the ELBO is of 1 latent an image")


def test_what_is_no_likelihood_has_no_nats_and_no_nll(digits, monkeypatch):
    subject = Subject(digits, "test", 0, 100, World())
    before = Bounds()(subject).figures
    assert {before[name].unit for name in ("elbo", "rate", "distortion")} == {"nats per image"}
    monkeypatch.setattr(digits.vae.likelihood, "measure", "MS-SSIM over 2 scales")
    bounds = Bounds()(subject).figures
    units = {name: figure.unit for name, figure in bounds.items() if figure.value is not None}
    nothing = "per image, no nats"
    assert units == {"elbo": nothing, "rate": "nats per image", "distortion": nothing}
    assert bounds["bits_per_dim"].reason is not None
    score = LogLikelihood(num_samples=2)(subject)
    assert {figure.value for figure in score.figures.values()} == {None}
    told = paragraph(replace(score, facts={"seconds": 0.0}), "test").splitlines()
    assert told[0] == (
        "NLL, gap of the ELBO, bits/dim of the NLL: none, there is no log p(x) to estimate: the figures are "
        "MS-SSIM over 2 scales, no likelihood and no nats"
    )
