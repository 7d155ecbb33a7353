"""What a run records of its training images, and what is left of a record that is damaged or of an earlier version."""

import json
import math

import pytest
import torch

from vae_lightning.runs.usual import Usual, pixel_figures, usual_of


def test_a_run_records_its_training_images_when_it_begins(digits, digits_run):
    images = digits.data.example_images(10_000, "train")  # there are more than are recorded
    recorded = digits_run.environment()["training_images"]
    assert recorded["num_images"] == 1000 < len(images)
    for name, values in pixel_figures(images).items():
        assert recorded[name]["mean"] == pytest.approx(float(values.mean()), abs=0.005)
        assert recorded[name]["deviation"] == pytest.approx(float(values.std()), abs=0.005)
    usual = usual_of(digits_run)
    metrics = digits_run.metrics()
    assert usual["mean"] == Usual(**recorded["mean"])
    assert usual["ELBO"].mean == metrics["test/elbo"]
    assert usual["ELBO"].deviation == metrics["test/elbo_stderr"] * math.sqrt(metrics["test/num_images"])


@pytest.mark.parametrize(
    "recorded",
    [
        None,
        [1],
        {"mean": {"mean": "dark"}, "spread": None},
        {"mean": {"mean": 0.1, "deviation": 0, "below": 1, "above": 1}},
        {"mean": {"mean": float("nan"), "deviation": 1, "below": 1, "above": 1}},
        {"mean": {"mean": True, "deviation": 1, "below": 1, "above": 1}},
    ],
)
def test_what_is_no_record_is_left_out(digits_run, moved, recorded):
    run = moved(digits_run)
    facts = run.environment() | {"training_images": recorded}
    (run.path / "environment.json").write_text(json.dumps(facts))
    assert set(usual_of(run)) == {"ELBO"}


def test_a_run_without_any_record_knows_nothing(digits_run, moved):
    run = moved(digits_run)
    (run.path / "environment.json").write_text("{")
    (run.path / "metrics.json").unlink()
    assert usual_of(run) == {}


def test_many_images_have_to_lie_nearer_than_one():
    usual = Usual(mean=0.0, deviation=0.5, below=3.0, above=5.0)
    # one: a deviation beyond the known ones; many: two deviations
    for value, count, expected in [(3.0, 1, 1.0), (-2.0, 1, 1.0), (-1.0, 10**6, 1.0), (-1.0, 4, 2 / 3), (0.0, 1, 0.0)]:
        assert usual.strangeness(torch.full((count,), value)) == pytest.approx(expected, rel=0.01)
    assert Usual(0.0, 1.0, 5.0, math.inf).strangeness(torch.tensor([1e9])) == 0  # none is too good
