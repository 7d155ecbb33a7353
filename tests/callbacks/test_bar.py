"""The bar: what of it fits how many columns, and what is printed while it stands."""

import io
import sys
import time
from contextlib import contextmanager

import pytest
from rich.console import Console

from vae_lightning.callbacks import bar as bar_module
from vae_lightning.callbacks.bar import Bar, Shown, clock
from vae_lightning.machine.terminal import write_line


def line(columns, **shown):
    stream = io.StringIO()
    Console(file=stream, width=columns).print(Shown(**shown), end="")
    return stream.getvalue().rstrip("\n")


def training(**others):
    now = time.monotonic()
    figures = {"loss": "loss 101.2", "elbo": "elbo -101.2", "img/s": "418,200 img/s"}
    known = {"task": "epoch 103/200", "done": 61, "total": 100, "epoch_ends": now + 4.2, "run_ends": now + 7392.2}
    return known | {"figures": figures} | others


def test_eighty_columns_have_images_per_second_and_both_times():
    shown = line(80, **training())
    assert shown.startswith("epoch 103/200 ━")
    assert " 61%  " in shown
    assert shown.endswith("  418,200 img/s  left: epoch 0:04, run 2:03:12")


def test_the_pictures_after_the_last_epoch_are_told_as_the_room_allows():
    assert line(80, **training(and_pictures=True)).endswith("  418,200 img/s  left: epoch 0:04, run 2:03:12+")
    shown = line(100, **training(and_pictures=True))
    assert shown.endswith("  418,200 img/s  left: epoch 0:04, run 2:03:12 + pictures")


def test_a_wide_terminal_has_everything():
    assert " 61%  loss 101.2  elbo -101.2  418,200 img/s  left: " in line(120, **training())


@pytest.mark.parametrize("columns", [1, 2, 5, 20, 33, 47, 60, 79, 80, 100, 200])
def test_the_bar_leaves_room_for_what_the_terminal_writes_of_ctrl_c(columns):
    for shown in (training(), training(doing="drawing reconstruction_history"), training(total=0), {}):
        assert len(line(columns, **shown)) <= max(columns - 3, 1)


def test_what_interrupts_the_training_is_shown_with_the_time_that_it_takes():
    shown = line(80, **training(doing="drawing t\x1bsne", since=time.monotonic() - 75))
    assert r"  drawing t\x1bsne 1:15" in shown
    assert "img/s" in shown


def test_a_duration_is_shown_as_by_a_clock():
    assert [clock(seconds) for seconds in (-1, 0, 4.4, 72, 7439)] == ["0:00", "0:00", "0:04", "1:12", "2:03:59"]


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)


@contextmanager
def standing():
    bar = Bar(Shown())
    bar.start()
    try:
        yield
    finally:
        bar.stop()


def test_a_path_is_written_above_the_bar_as_one_word(terminal, capsys):
    path = "/a/place/" + 40 * "b"
    with standing():
        write_line(f"lies in {path}")
        print("as does another")
    write_line("below")
    written = capsys.readouterr().out
    assert f"lies in\n{path}\n" in written
    assert "as does another" in written
    assert written.endswith("\x1b[2Kbelow\n")


def test_the_cursor_stays_for_a_process_that_is_killed_shows_it_no_more(terminal, capsys):
    with standing():
        written = capsys.readouterr().out
        assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_a_fork_has_no_bar(terminal, capsys):
    with standing():
        capsys.readouterr()
        bar_module._forget_in_child()
        write_line("in the child")
        print("and this")
        assert capsys.readouterr().out == "in the child\nand this\n"
