import json

import numpy as np
import pytest

from tests.trained import opened
from vae_lightning.errors import UserError
from vae_lightning.scores.elbo import ELBOScore
from vae_lightning.scores.reconstruction import ReconstructionScore
from vae_lightning.scores.thresholds import THRESHOLDS, keep_thresholds, kept_thresholds, threshold_of


@pytest.mark.parametrize("false_alarms", [0.01, 0.05, 0.5, 0.999])
@pytest.mark.parametrize("score", [ELBOScore(), ReconstructionScore()])
def test_as_many_usual_images_pass_it_as_may(score, false_alarms):
    usual = np.random.default_rng(0).normal(size=1000)
    found = threshold_of(score, usual, false_alarms)
    assert found.flags(score, usual).sum() == round(false_alarms * 1000)
    worst = usual.argmin() if score.worse == "low" else usual.argmax()
    assert found.flags(score, usual)[worst]


def test_equal_values_do_not_pass_it():
    found = threshold_of(ReconstructionScore(), np.r_[np.zeros(90), np.ones(10)], 0.05)
    assert found.flags(ReconstructionScore(), np.array([0.0, 1.0, 1.1, np.nan])).tolist() == [False, False, True, True]


def test_too_few_images_for_a_rate_are_told():
    with pytest.raises(UserError, match=r"score\.false_alarms=0\.001: is less than one of 180 validation images"):
        threshold_of(ELBOScore(), np.zeros(180), 0.001)


def test_they_are_kept_for_the_checkpoint_and_the_settings_that_they_are_of(moved, digits_run):
    run = opened(moved(digits_run))
    scores = {"elbo": ELBOScore(2), "reconstruction": ReconstructionScore()}
    found = {name: threshold_of(score, np.arange(100.0), 0.1) for name, score in scores.items()}
    assert kept_thresholds(run, scores) == {}
    keep_thresholds(run, found, scores)
    assert kept_thresholds(run, scores) == found
    assert kept_thresholds(run, scores | {"elbo": ELBOScore(3)}) == {"reconstruction": found["reconstruction"]}
    other = threshold_of(scores["elbo"], np.arange(50.0), 0.2)
    keep_thresholds(run, {"elbo": other}, scores)
    assert kept_thresholds(run, scores) == found | {"elbo": other}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"best.ckpt": 3}', '{"best.ckpt": {"elbo": 3}}', '{"best.ckpt": {"elbo": {"value": "x"}}}'],
)
def test_a_file_of_them_that_is_none_is_passed_over(moved, digits_run, content):
    run = opened(moved(digits_run))
    (run.run_dir.path / THRESHOLDS).write_text(content)
    scores = {"elbo": ELBOScore()}
    assert kept_thresholds(run, scores) == {}
    found = {"elbo": threshold_of(ELBOScore(), np.arange(100.0), 0.1)}
    keep_thresholds(run, found, scores)
    assert kept_thresholds(run, scores) == found
    assert json.loads((run.run_dir.path / THRESHOLDS).read_text())
