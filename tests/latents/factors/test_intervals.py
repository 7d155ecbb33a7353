import numpy as np
import pytest

from vae_lightning.latents.factors.intervals import generator_of, halves, interval, over_resamples


def test_an_interval_is_1_96_standard_errors_to_either_side_and_its_floor_lower():
    found = interval(0.5, np.array([0.45, 0.5, 0.55]), floor=0.1)
    assert (float(found), found.stderr) == (0.5, pytest.approx(0.05))
    assert (found.low, found.high) == (pytest.approx(0.4 - 0.098), pytest.approx(0.5 + 0.098))


def test_it_is_cut_to_the_range_of_the_score():
    found = interval(0.9, np.array([0.1, 0.9]))
    assert (found.low, found.high) == (0.0, 1.0)
    assert interval(0.0, np.array([-1.0, 0.9]), lowest=-1).low == -1


def test_the_mean_of_numbers_has_the_standard_error_of_a_mean():
    numbers, rows = np.random.default_rng(0).uniform(size=1000), np.arange(1000)
    (found,) = over_resamples(
        lambda of, rows_of: np.array([of[rows_of(rows)].mean()]), numbers, 400, generator_of(0, 1)
    )
    assert found.value == numbers.mean()
    assert found.stderr == pytest.approx(numbers.std() / 1000**0.5, rel=0.1)


def test_the_floor_is_what_shuffled_codes_come_to():
    rows = np.arange(50)

    def same(latents, rows_of):
        chosen = rows_of(rows)
        return np.repeat(np.mean(latents[chosen] == chosen), 2)  # 1 in their own order

    raised, other = over_resamples(same, rows, 2, generator_of(0, 1), num_shuffles=200, raised=(True, False))
    assert raised.stderr == 0
    assert 1 - raised.low == pytest.approx(1 / 50, rel=0.3)
    assert other.low == 1


def test_halves_share_out_each_class_evenly_and_no_row_is_in_both():
    classes = np.repeat([0, 1, 2], [7, 4, 30])
    train, test = halves(classes, generator_of(0, 1))
    assert sorted([*train, *test]) == list(range(41))
    for number in range(3):
        counts = [(classes[rows] == number).sum() for rows in (train, test)]
        assert abs(counts[0] - counts[1]) <= 1


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match=r"^num_resamples must be at least 2, got 1$"):
        over_resamples(lambda of, rows_of: np.zeros(1), np.zeros(1), 1, generator_of(0, 1))
    with pytest.raises(ValueError, match=r"^seed must be at least 0, got -1$"):
        generator_of(-1, 1)
