"""How scheduled values rise, as numbers."""

import math

import pytest

from tests.unchecked import unchecked
from vae_lightning.objectives.annealing import Rise, linear_warmup
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.terms import Progress


def shares(rise, steps=range(12), length=0):
    return [rise.at(step, length) for step in steps]


def test_constant_rises_over_the_steps_that_are_told_and_not_at_all_over_none():
    assert shares(Rise("constant", 4), (0, 1, 3, 4, 100), 1000) == [0.25, 0.5, 1.0, 1.0, 1.0]
    assert shares(Rise("constant", 0), length=1000) == [1.0] * 12
    assert linear_warmup(0, 0) == 1.0


def test_cosine_is_slow_at_both_ends():
    found = shares(Rise("cosine", 4), range(6))
    assert found == pytest.approx([(1 - math.cos(math.pi * t)) / 2 for t in (0.25, 0.5, 0.75, 1, 1, 1)])
    assert found[-2:] == [1.0, 1.0]


def test_a_cycle_rises_and_stays_and_the_next_begins_anew():
    found = shares(Rise("cyclical", 12, num_cycles=2, rising=0.5), range(14))
    rise = [1 / 3, 2 / 3, 1, 1, 1, 1]
    assert found == pytest.approx([*rise, *rise, 1, 1])


@pytest.mark.parametrize(("num_steps", "num_cycles"), [(30, 9), (10, 3), (100, 7), (9, 3)])
def test_every_cycle_begins_anew_whatever_its_length(num_steps, num_cycles):
    """A quotient of floats takes the first step of some cycle for the last of the one before it."""
    found = shares(Rise("cyclical", num_steps, num_cycles, rising=1.0), range(num_steps))
    starts = {-(-cycle * num_steps // num_cycles) for cycle in range(num_cycles)}
    assert {step for step in range(1, num_steps) if found[step] < found[step - 1]} == starts - {0}
    assert all(found[start] < 2 * num_cycles / num_steps for start in starts)


def test_cycles_shorter_than_a_step_are_at_one():
    assert shares(Rise("cyclical", 4, num_cycles=8), range(6)) == [1.0] * 6


def test_one_cycle_that_rises_to_its_end_is_linear():
    assert shares(Rise("cyclical", 8, num_cycles=1, rising=1.0)) == shares(Rise("linear", 8))


@pytest.mark.parametrize("schedule", ["linear", "cosine", "cyclical"])
def test_of_no_steps_it_takes_the_whole_training(schedule):
    whole, told = Rise(schedule, 0), Rise(schedule, 10)
    assert shares(whole, length=10) == shares(told, length=999)
    assert (whole.takes_whole_training, told.takes_whole_training) == (True, False)
    assert whole.at(3) == 1.0  # a run that is only tested


def test_beta_follows_the_schedule_by_a_number_of_the_host():
    objective = ELBO(beta=2.0, schedule="cosine")
    for step, beta in ((0, 2 * (1 - math.cos(math.pi / 4)) / 2), (1, 1.0), (3, 2.0)):
        objective.prepare(Progress(step, 4))
        assert float(objective.beta_now) == pytest.approx(beta)
        assert objective.schedules(Progress(step, 4)) == {"beta": pytest.approx(beta)}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"schedule": "square"}, "schedule must be one of constant, linear, cosine, cyclical; got square"),
        ({"num_cycles": 0}, "num_cycles must be at least 1, got 0"),
        ({"rising": 0.0}, r"rising must lie in \(0, 1\], got 0.0"),
        ({"rising": math.nan}, r"rising must lie in \(0, 1\], got nan"),
    ],
)
def test_impossible_values_are_refused_by_name(arguments, told):
    with pytest.raises(ValueError, match=f"^{told}"):
        unchecked(Rise)(**{"schedule": "cyclical", "num_steps": 5} | arguments)


def test_a_training_of_unknown_length_is_refused_where_a_schedule_goes_by_it(error_of, tmp_path):
    unknown = ("data=digits", "model=mlp", "trainer.max_epochs=-1")
    for objective, key in (("objective.schedule=cosine", "warmup_steps"), ("objective=capacity", "capacity_steps")):
        message = error_of(*unknown, objective)
        assert (
            message == f"objective.{key}=0: takes the whole training; choose a trainer.max_epochs, or at least 1 step"
        )
    assert not list(tmp_path.iterdir())
