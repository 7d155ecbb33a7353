import re
import sys

import pytest

from tests.callbacks.fakes import FakeData
from vae_lightning.callbacks.progress import ProgressBar
from vae_lightning.callbacks.throughput import Throughput
from vae_lightning.launch.output import configure_logging


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


@pytest.fixture
def shown(monkeypatch, terminal):
    """Where the bar stands at each refresh during an epoch, and of how many."""
    stands: list[tuple[int, int]] = []
    original = ProgressBar.on_train_batch_end

    def noting(self, *args):
        before = self.train_progress_bar.postfix, self.train_progress_bar.n
        original(self, *args)
        if (self.train_progress_bar.postfix, self.train_progress_bar.n) != before:
            stands.append((int(self.train_progress_bar.n), int(self.train_progress_bar.total)))

    monkeypatch.setattr(ProgressBar, "on_train_batch_end", noting)
    return stands


@pytest.mark.parametrize(
    ("steps", "refresh_rate", "refreshed_at"),
    [
        (1, 1, [1, 2, 3, 4, 5, 6]),
        (1, 4, [4, 6]),
        (4, 1, [4, 6]),
        (4, 3, [4, 6]),
        (2, 3, [4, 6]),  # three is gone past
        (2, 5, [6]),
        (5, 20, [6]),
        (16, 1, [6]),
    ],
)
def test_the_bar_counts_batches_also_if_several_come_at_once(fit, shown, steps, refresh_rate, refreshed_at):
    bar = ProgressBar(refresh_rate=refresh_rate)
    fit(bar, enable_progress_bar=True, data=FakeData(steps=steps), max_epochs=2)
    assert shown == [(batches, 6) for batches in refreshed_at] * 2


def test_refresh_rate_must_be_positive():
    with pytest.raises(ValueError, match=r"^refresh_rate must be at least 1, got 0$"):
        ProgressBar(refresh_rate=0)
