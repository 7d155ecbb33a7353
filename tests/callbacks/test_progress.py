import re
import sys
import time

import pytest
from lightning.pytorch import Callback
from rich.file_proxy import FileProxy

from tests.callbacks.fakes import FakeData
from vae_lightning.callbacks import progress
from vae_lightning.callbacks.periodic import PeriodicCallback
from vae_lightning.callbacks.progress import ProgressBar
from vae_lightning.callbacks.throughput import Throughput
from vae_lightning.launch.output import configure_logging


@pytest.fixture(autouse=True)
def _log_on_the_terminal():
    configure_logging()


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


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


def test_a_long_epoch_has_lines_of_its_own_where_there_is_no_terminal(fit, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    fit(ProgressBar(), enable_progress_bar=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if "%" in line]
    assert len(lines) > 3
    assert all(re.fullmatch(r"epoch \d/3  \d+%  left: epoch \d:\d\d, run \d:\d\d", line) for line in lines), lines


@pytest.mark.parametrize(
    ("value", "told"), [(0.12345, "0.1235"), (101.23, "101.2"), (18_200.4, "18200"), (-1.07e34, "-1.07e+34")]
)
def test_figures_are_short_whatever_they_are(value, told):
    assert progress._short(value) == told


def test_an_epoch_without_validation_shows_no_older_elbo(fit, capsys):
    fit(ProgressBar(), enable_progress_bar=True, check_val_every_n_epoch=2)
    assert ["val elbo" in line for line in capsys.readouterr().out.splitlines()] == [False, True, False]


def test_other_ranks_are_silent(fit, capsys, monkeypatch):
    from lightning.pytorch import Trainer

    monkeypatch.setattr(Trainer, "is_global_zero", False)
    fit(ProgressBar(), enable_progress_bar=True)
    assert capsys.readouterr().out == ""


def test_a_terminal_has_the_bar_and_the_lines(fit, capsys, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    fit(ProgressBar(refresh_rate=1), Throughput(every_n_steps=1), enable_progress_bar=True)
    output = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert len(re.findall(r"epoch \d/3  train loss", output)) == 3
    bars = re.findall(r"epoch \d/3 ━+.*", output)
    assert any(all(name in bar for name in ("100%", "loss ", "elbo -", " img/s", "left: ")) for bar in bars)
    assert "v_num" not in output
    assert output.count("\x1b[?25h") >= 2 > output.count("starting\n")
    assert not isinstance(sys.stdout, FileProxy)


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_writes_no_line_over_has_the_lines_alone(fit, capsys, terminal, monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    fit(ProgressBar(), enable_progress_bar=True, max_epochs=1)
    output = capsys.readouterr().out
    assert output.startswith("epoch 1/1  train loss")
    assert "\x1b" not in output


def test_colours_are_left_out_if_the_user_wants_none(fit, capsys, terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    fit(ProgressBar(), enable_progress_bar=True, max_epochs=1)
    assert set(re.findall(r"\x1b\[([0-9;]*)m", capsys.readouterr().out)) == {"0", "1"}  # bold, and its end


class Slow(PeriodicCallback):
    """Notes what the bar shows while it acts."""

    def __init__(self, **when):
        super().__init__(**when)
        self.seen = []

    def act(self, trainer, pl_module, epoch):
        time.sleep(0.05)
        self.seen.append((epoch, trainer.progress_bar_callback._shown.doing))


@pytest.mark.parametrize(("every", "epochs"), [(None, [3]), (2, [2, 3]), (3, [3])])
def test_the_bar_shows_what_is_being_drawn(fit, terminal, every, epochs):
    bar, slow = ProgressBar(), Slow(every_n_epochs=every)
    fit(bar, slow, enable_progress_bar=True)
    assert slow.seen == [(epoch, "drawing Slow") for epoch in epochs]
    assert bar._shown.doing == ""


@pytest.mark.parametrize("every", [None, 1, 2, 3])
def test_where_there_is_no_bar_what_takes_long_after_the_last_epoch_has_a_line(fit, capsys, monkeypatch, every):
    monkeypatch.setattr(progress, "_TOLD_AFTER_S", 0.001)
    fit(ProgressBar(), Slow(every_n_epochs=every), enable_progress_bar=True)
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        *(f"epoch {epoch}/3" for epoch in (1, 2, 3)),
        "drawing Slow",
    ]


@pytest.mark.parametrize(("every", "known"), [(None, []), (2, [3]), (3, []), (1, [2, 3])])
def test_the_time_left_tells_of_pictures_that_it_does_not_know(fit, capsys, monkeypatch, every, known):
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    fit(ProgressBar(), Slow(every_n_epochs=every), enable_progress_bar=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if "left: " in line]
    told = {int(line[6]) for line in lines if not line.endswith(" + pictures")}
    assert {int(line[6]) for line in lines} == {1, 2, 3}
    assert sorted(told) == known


def test_the_bar_counts_the_pictures_after_the_last_epoch(fit, terminal):
    bar, slow, shown = ProgressBar(), Slow(every_n_epochs=2), []

    class Looking(Callback):
        def on_train_batch_end(self, trainer, *_):
            epochs = bar._time_left.ends(bar.total_train_batches, 2 - trainer.current_epoch)[1]
            shown.append((trainer.current_epoch + 1, bar._shown.and_pictures, bar._shown.run_ends - epochs, slow.took))

    fit(bar, slow, Looking(), enable_progress_bar=True)
    assert {(epoch, more) for epoch, more, _, _ in shown} == {(1, True), (2, True), (3, False)}
    assert all(seconds == pytest.approx(took or 0.0, abs=1e-3) for *_, seconds, took in shown)
    assert slow.took > 0.05


def test_what_is_quick_has_no_line(fit, capsys):
    fit(ProgressBar(), Slow(every_n_epochs=None), enable_progress_bar=True, max_epochs=1)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_failure_takes_the_bar_away(fit, capsys, terminal):
    def fail(trainer, pl_module, epoch):
        raise RuntimeError("no picture")

    slow = Slow(every_n_epochs=1)
    slow.act = fail
    bar = ProgressBar()
    with pytest.raises(RuntimeError, match="no picture"):
        fit(bar, slow, enable_progress_bar=True)
    assert bar._bar is None
    assert capsys.readouterr().out.endswith("\x1b[1A\x1b[2K")  # the bar's line is empty, and the next one begins there


@pytest.mark.parametrize(("refresh_rate", "looks"), [(1, 6), (4, 1), (20, 0)])
def test_loss_and_elbo_are_looked_at_no_more_often_than_asked(fit, terminal, monkeypatch, refresh_rate, looks):
    read = []
    monkeypatch.setattr(progress, "_READ_EVERY_S", 0.0)
    monkeypatch.setattr(ProgressBar, "_read", lambda self, trainer: read.append(self._num_batches))
    fit(ProgressBar(refresh_rate=refresh_rate), enable_progress_bar=True, limit_val_batches=0, max_epochs=1)
    assert len(read) == looks + 1  # and once for the epoch's line


def test_the_device_is_waited_for_only_a_few_times_a_second(fit, terminal, monkeypatch):
    read = []
    monkeypatch.setattr(progress, "_READ_EVERY_S", 1000.0)
    original = ProgressBar._read
    monkeypatch.setattr(ProgressBar, "_read", lambda self, trainer: read.append(1) or original(self, trainer))
    fit(ProgressBar(refresh_rate=1), enable_progress_bar=True, limit_val_batches=0, max_epochs=2)
    assert len(read) <= 3


@pytest.mark.parametrize(("steps", "stands"), [(1, [1, 2, 3, 4, 5, 6]), (4, [4, 6]), (16, [6])])
def test_the_bar_counts_batches_also_if_several_come_at_once(fit, terminal, monkeypatch, steps, stands):
    shown = []
    original = ProgressBar.on_train_batch_end

    def noting(self, *args):
        original(self, *args)
        shown.append((self._shown.done, self._shown.total))

    monkeypatch.setattr(ProgressBar, "on_train_batch_end", noting)
    fit(ProgressBar(), enable_progress_bar=True, data=FakeData(steps=steps), max_epochs=2)
    assert shown == [(batches, 6) for batches in stands] * 2


def test_refresh_rate_must_be_positive():
    with pytest.raises(ValueError, match=r"^refresh_rate must be at least 1, got 0$"):
        ProgressBar(refresh_rate=0)


@pytest.mark.parametrize("callbacks", ["none", "reconstructions"])
def test_a_run_without_a_bar_has_a_line_an_epoch_all_the_same(train, capsys, terminal, callbacks):
    run = train(f"callbacks={callbacks}")
    output = capsys.readouterr().out
    assert len(re.findall(r"^epoch [12]/2  train loss \d+\.\d  val elbo -\d+\.\d  \d+\.\d s$", output, re.M)) == 2
    assert "━" not in output
    assert (run.path / "train.log").read_text().count("train loss") == 2
