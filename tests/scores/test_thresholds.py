import numpy as np
import pytest

from tests.trained import opened
from vae_lightning.errors import UserError
from vae_lightning.scores.elbo import ELBOScore
from vae_lightning.scores.reconstruction import ReconstructionScore
from vae_lightning.scores.thresholds import THRESHOLDS, allowed, keep_thresholds, kept_thresholds, threshold_of
from vae_lightning.scores.typicality import Typicality

UNREADABLE = ("", "[]", "{")
OF_NOTHING = ('{"best.ckpt": 3}', '{"best.ckpt": {"elbo": 3}}')
IMPOSSIBLE = ("NaN 0.1 5", "Infinity 0.1 5", '"x" 0.1 5', "1.0 -1.0 5", "1.0 1.0 5", "1.0 0.1 true", "1.0 0.1 0")


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


def read_once_and_kept_anew(run):
    """What is kept is nothing, and can be kept again."""
    scores = {"elbo": ELBOScore()}
    assert kept_thresholds(run, scores) == {}
    found = {"elbo": threshold_of(ELBOScore(), np.arange(100.0), 0.1)}
    keep_thresholds(run, found, scores)
    assert kept_thresholds(run, scores) == found


@pytest.mark.parametrize("content", UNREADABLE + OF_NOTHING)
def test_a_file_of_them_that_is_none_is_passed_over_and_told(moved, digits_run, content, told):
    run = opened(moved(digits_run))
    (run.run_dir.path / THRESHOLDS).write_text(content)
    read_once_and_kept_anew(run)
    assert any("can't be read, and is passed over" in line for line in told()) == (content in UNREADABLE)


@pytest.mark.parametrize("values", IMPOSSIBLE)
def test_a_threshold_that_cannot_be_is_passed_over_and_told(moved, digits_run, values, told):
    run = opened(moved(digits_run))
    value, false_alarms, count = values.split()
    entry = f'"value": {value}, "false_alarms": {false_alarms}, "num_images": {count}, "usual": null'
    of = f'"epoch": {run.epoch}, "settings": {{"num_samples": null}}'
    (run.run_dir.path / THRESHOLDS).write_text(f'{{"best.ckpt": {{"elbo": {{{entry}, {of}}}}}}}')
    read_once_and_kept_anew(run)
    assert any("the threshold of elbo can't be" in line for line in told())


@pytest.mark.parametrize("count", [2, 7, 140, 700, 3_000, 9_000])
def test_the_rate_that_is_recommended_is_taken(count):
    with pytest.raises(UserError) as error:
        allowed(1e-9, count)
    assert allowed(float(str(error.value).split("choose ")[1].split()[0]), count) == 1
    assert allowed(1 - 1e-13, count) == count - 1  # one stays


def test_what_a_score_has_learned_is_kept_with_it(moved, plane_run):
    run = opened(moved(plane_run))
    asked, ready = {"typicality": Typicality()}, Typicality(usual=-100.5)
    keep_thresholds(run, {"typicality": threshold_of(ready, np.arange(100.0), 0.1)}, asked)
    learned = kept_thresholds(run, asked)["typicality"].usual
    assert learned == -100.5
    assert Typicality().with_learned(learned) == ready
