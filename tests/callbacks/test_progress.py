import re
import sys

import pytest

from vae_lightning.callbacks.progress import ProgressBar
from vae_lightning.callbacks.throughput import Throughput
from vae_lightning.console import configure_logging


@pytest.fixture(autouse=True)
def _log_on_the_terminal():
    configure_logging()


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)


def test_a_line_an_epoch_where_there_is_no_terminal(fit, capsys):
    fit(ProgressBar(), Throughput(every_n_steps=1), enable_progress_bar=True)
    output = capsys.readouterr().out
    assert "\r" not in output
    lines = output.splitlines()
    assert len(lines) == 3
    number = r"-?\d+(\.\d+)?"
    for epoch, line in enumerate(lines, start=1):
        pattern = rf"epoch {epoch}/3  train loss {number}  val elbo -{number}  {number} images/s  {number} s"
        assert re.fullmatch(pattern, line), line


def test_an_epoch_without_validation_shows_no_older_elbo(fit, capsys):
    fit(ProgressBar(), enable_progress_bar=True, check_val_every_n_epoch=2)
    assert ["val elbo" in line for line in capsys.readouterr().out.splitlines()] == [False, True, False]


def test_other_ranks_are_silent(fit, capsys, monkeypatch):
    from lightning.pytorch import Trainer

    monkeypatch.setattr(Trainer, "is_global_zero", False)
    fit(ProgressBar(), enable_progress_bar=True)
    assert capsys.readouterr().out == ""


def test_a_terminal_has_the_bar_and_the_lines(fit, capsys, terminal):
    fit(ProgressBar(refresh_rate=1), Throughput(every_n_steps=1), enable_progress_bar=True)
    output = capsys.readouterr().out
    assert len(re.findall(r"epoch \d/3  train loss", output)) == 3
    bars = re.findall(r"epoch \d/3: .*\[.*\]", output)
    assert any(all(name in bar for name in ("loss=", "elbo=", "img/s=")) for bar in bars)
    assert "v_num" not in output


def test_the_bar_is_refreshed_no_more_often_than_asked(fit, capsys, terminal, monkeypatch):
    refreshes = []
    original = ProgressBar.get_metrics
    monkeypatch.setattr(ProgressBar, "get_metrics", lambda *args: refreshes.append(1) or original(*args))
    fit(ProgressBar(refresh_rate=20), enable_progress_bar=True, limit_val_batches=0, max_epochs=1)
    assert len(refreshes) == 2  # at the last batch and at the epoch's end; six batches are fewer than 20


def test_refresh_rate_must_be_positive():
    with pytest.raises(ValueError, match=r"^refresh_rate must be at least 1, got 0$"):
        ProgressBar(refresh_rate=0)
