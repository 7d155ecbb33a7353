import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_lightning.scores.detection import detection, told_apart


def test_what_is_apart_is_told_apart_and_what_is_alike_is_guessed():
    is_bad = np.array([False] * 50 + [True] * 10)
    apart = detection(np.r_[np.arange(50.0), np.arange(100.0, 110)], is_bad)
    assert apart.auroc == pytest.approx((1, 1, 1))
    assert apart.average_precision == pytest.approx((1, 1, 1))
    assert (apart.num_good, apart.num_bad) == (50, 10)
    alike = detection(np.zeros(60), is_bad)
    assert alike.auroc == pytest.approx((0.5, 0.5, 0.5))
    assert alike.average_precision.value == pytest.approx(10 / 60)


def test_the_auroc_is_the_chance_that_a_bad_one_is_stranger():
    generator = np.random.default_rng(0)
    good, bad = generator.normal(0, 1, 300), generator.normal(1, 1, 200)
    found = detection(np.r_[good, bad], np.repeat([False, True], [300, 200])).auroc
    assert found.value == pytest.approx((bad[:, None] > good).mean())
    exactly = 0.7602  # of two normal distributions one deviation apart: Phi(1 / sqrt 2)
    assert found.low < exactly < found.high


def test_the_interval_has_the_width_that_is_known_of_it(monkeypatch):
    monkeypatch.setattr("vae_lightning.scores.detection._NUM_RESAMPLES", 300)  # whose widths have the same mean
    generator, widths = np.random.default_rng(1), []
    is_bad = np.repeat([False, True], [200, 200])
    estimates = []
    for _ in range(30):
        found = detection(generator.normal(is_bad * 1.0, 1), is_bad).auroc
        widths.append(found.high - found.low)
        estimates.append(found.value)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(estimates), rel=0.35)


def test_it_is_a_function_of_its_seed():
    values, is_bad = np.random.default_rng(0).normal(size=100), np.arange(100) % 3 == 0
    state = np.random.get_state()[1].copy()
    assert detection(values, is_bad, 3) == detection(values, is_bad, 3)
    assert detection(values, is_bad, 3) != detection(values, is_bad, 4)
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize(
    ("values", "is_bad", "told"),
    [
        ([1.0, 2.0], [False, False], "2 good images and 0 bad ones: both take one at least"),
        ([1.0, 2.0], [True, True], "0 good images and 2 bad ones"),
        ([1.0, np.nan], [True, False], "a value that is no number"),
    ],
)
def test_what_has_no_auroc_is_told(values, is_bad, told):
    with pytest.raises(ValueError, match=told):
        detection(np.array(values), np.array(is_bad))


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_the_two_measures_are_scikit_learns_whatever_values_are_equal(digits):
    generator = np.random.default_rng(0)
    good, bad = generator.normal(0, 1, 80).round(digits), generator.normal(0.7, 1, 30).round(digits)
    truth, values = np.repeat([0, 1], [80, 30]), np.r_[good, bad]
    wanted = roc_auc_score(truth, values), average_precision_score(truth, values)
    assert told_apart(good, bad) == pytest.approx(wanted, abs=1e-12)


def test_values_without_an_end_are_the_strangest():
    assert told_apart(np.array([1.0, 2.0, -np.inf]), np.array([np.inf, np.inf])) == (1, 1)
