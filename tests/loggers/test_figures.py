"""Figures reach every logger at the step they belong to, and the callbacks that watch them."""

import pytest
import torch

from tests.tiny import Rows, fit, trainer
from vae_lightning.loggers.figures import current_step, log_metrics


class Saving(Rows):
    """Counts how often it is told to save."""

    def __init__(self):
        super().__init__()
        self.num_saved = 0

    def save(self):
        self.num_saved += 1


@pytest.mark.parametrize(("global_step", "step"), [(0, 0), (1, 0), (2, 1), (500, 499)])
def test_steps_count_from_zero(monkeypatch, global_step, step):
    watched = trainer()
    monkeypatch.setattr(type(watched), "global_step", global_step)
    assert current_step(watched) == step


def test_every_logger_gets_the_figures_with_their_step_and_epoch(monkeypatch):
    loggers = [Saving(), Saving()]
    logging = trainer(logger=loggers)
    monkeypatch.setattr(type(logging), "global_step", 8)
    logging.fit_loop.epoch_progress.current.completed = logging.fit_loop.epoch_progress.current.processed = 3
    log_metrics(logging, {"a": torch.tensor(0.5), "b": 2})
    for logger in loggers:
        assert logger.rows == [(7, {"a": 0.5, "b": 2.0, "epoch": logging.current_epoch})]
        assert all(type(value) is float for name, value in logger.rows[0][1].items() if name != "epoch")
        assert logger.num_saved == 1  # else what was logged last would be lost with a killed run


def test_callbacks_find_tensors_and_the_figures_before_them():
    logging = trainer()
    log_metrics(logging, {"a": torch.tensor(0.5, requires_grad=True), "b": 2})
    log_metrics(logging, {"b": 3.0})
    metrics = logging.callback_metrics
    assert {name: value.item() for name, value in metrics.items()} == {"a": 0.5, "b": 3.0}
    assert all(isinstance(value, torch.Tensor) and not value.requires_grad for value in metrics.values())
    assert "epoch" not in metrics


def test_what_a_training_logs_is_of_this_epoch():
    fitted = fit(4, max_epochs=3)
    assert [(step, row["epoch"]) for step, row in fitted.of("val")] == [(10, 0), (21, 1), (32, 2)]
    last_train, last_val = fitted.of("train")[-1][1], fitted.of("val")[-1][1]
    for name in ("train/loss", "train/elbo", "train/rate", "beta", "learning_rate"):
        assert fitted.trainer.callback_metrics[name] == pytest.approx(last_train[name])
    assert fitted.trainer.callback_metrics["val/elbo"] == pytest.approx(last_val["val/elbo"])
