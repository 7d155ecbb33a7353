"""Learning rates as functions of the progress, and what training makes of them."""

import csv

import pytest

from tests.conftest import TINY
from vae_lightning.training.schedules import Burda, Cosine, Exponential


def test_exponential_falls_by_the_same_factor():
    assert [Exponential(0.01)(progress) for progress in (0, 0.5, 1)] == pytest.approx([1, 0.1, 0.01])


def test_cosine_rises_and_falls():
    schedule = Cosine(final_factor=0.1, warmup=0.2)
    values = [schedule(progress) for progress in (0, 0.1, 0.2, 0.6, 1)]
    assert values == pytest.approx([0, 0.5, 1, 0.55, 0.1])


def test_burda_has_the_stages_of_the_paper():
    epochs: dict[float, int] = {}
    for epoch in range(3280):
        for within in (0, 0.5, 0.999):
            factor = Burda()((epoch + within) / 3280)
            epochs[factor] = epochs.get(factor, 0) + 1
    assert list(epochs) == pytest.approx([10 ** (-stage / 7) for stage in range(8)])
    assert list(epochs.values()) == [3 * 3**stage for stage in range(8)]
    assert Burda()(1) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("schedule", "arguments"),
    [(Exponential, {"final_factor": 0.0}), (Cosine, {"final_factor": -1.0}), (Cosine, {"warmup": 1.0})],
)
def test_impossible_values_are_refused_by_name(schedule, arguments):
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} must"):
        schedule(**arguments)


def rates(run) -> list[float]:
    with (run.path / "metrics.csv").open() as stream:
        return [float(row["learning_rate"]) for row in csv.DictReader(stream) if row["learning_rate"]]


def test_training_follows_the_schedule_and_a_resumed_run_the_longer_one(train, command):
    run = train("schedule=exponential", "optimizer.lr=0.1", "trainer.log_every_n_steps=1", "callbacks=none")
    steps = run.metrics()["steps"]
    expected = [0.1 * 0.1 ** (step / steps) for step in range(steps)]
    assert rates(run) == pytest.approx(expected)
    command(f"resume={run.path}", "trainer.max_epochs=4")
    expected += [0.1 * 0.1 ** (step / (2 * steps)) for step in range(steps, 2 * steps)]
    assert rates(run) == pytest.approx(expected)


def test_a_schedule_needs_an_end(error_of, tmp_path):
    message = error_of(*TINY, "schedule=cosine", "trainer.max_epochs=-1", f"run_dir={tmp_path / 'run'}")
    assert message == "schedule: goes by how much of training is done; choose a trainer.max_epochs"


def test_glorot_starts_training_and_a_resumed_run_keeps_its_weights(train, command):
    plain = train("callbacks=none", name="plain")
    run = train("callbacks=none", "initialization=glorot", name="glorot")
    before = run.metrics()["test/elbo"]
    assert before > plain.metrics()["test/elbo"] + 10
    command(f"resume={run.path}", "trainer.max_epochs=3")
    assert run.metrics()["test/elbo"] > before
