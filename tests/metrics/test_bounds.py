"""How many latents of each image the ELBO is of: as many as the run's objective draws, wherever that is said."""

import dataclasses
from typing import Any

import pytest

from vae_lightning.errors import UserError
from vae_lightning.machine.world import World
from vae_lightning.metrics.bounds import Bounds
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
