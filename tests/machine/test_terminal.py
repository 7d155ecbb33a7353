"""What is written to a terminal, and what to a file."""

import io
import os
import sys

import pytest

from vae_lightning.machine.terminal import (
    beside,
    can_be_drawn_on,
    is_quiet,
    outlasting_readers,
    quietly,
    start_of_line,
    width_within,
    wrapped,
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("term", "can"), [("xterm-256color", True), ("dumb", False), ("unknown", False), ("", True)])
def test_a_bar_needs_a_terminal_that_writes_over_lines(monkeypatch, term, can):
    monkeypatch.setenv("TERM", term)
    assert can_be_drawn_on(Terminal()) is can
    assert not can_be_drawn_on(io.StringIO())


def test_a_cell_of_a_notebook_keeps_no_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-color")  # as IPython's kernel has it for a line that begins with `!`
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    assert can_be_drawn_on(Terminal())
    monkeypatch.setenv("JPY_PARENT_PID", "7")
    assert not can_be_drawn_on(Terminal())


def test_what_is_to_be_quiet_draws_no_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    with quietly():
        assert is_quiet()
        assert not can_be_drawn_on(Terminal())
    assert not is_quiet()
    assert can_be_drawn_on(Terminal())


def test_lines_for_a_terminal_break_no_word(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    path = "/a/place/that-is/longer-than-a-line"
    assert wrapped(f"a run in {path} and more") == f"a run in\n{path}\nand more"
    assert wrapped("one two three four five\n\nsix", indent="  ", continued=" \\") == (
        "one two three four \\\n  five\n\nsix"
    )


@pytest.mark.parametrize(("is_terminal", "width"), [(True, 20), (False, 120)])
def test_a_path_that_a_terminal_has_no_room_for_gets_a_line_of_its_own(monkeypatch, is_terminal, width):
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)
    monkeypatch.setenv("COLUMNS", "20")
    assert width_within(120) == width
    assert width_within(10) == 10
    assert beside("table", "a/b", 10) == "table     a/b"
    long = "/a/path/to/copy/at/once"
    assert beside("table", long, 10) == (f"table\n  {long}" if is_terminal else f"table     {long}")


def test_a_message_begins_a_row_of_its_own_behind_ctrl_c(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert start_of_line(Terminal()) == "\r\x1b[K"
    monkeypatch.setenv("TERM", "dumb")
    assert start_of_line(Terminal()) == "\n"
    assert start_of_line(io.StringIO()) == ""


def test_what_nobody_reads_any_more_goes_nowhere_and_ends_nothing(monkeypatch):
    unread, pipe = os.pipe()
    os.close(unread)
    written = []
    with os.fdopen(pipe, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with outlasting_readers():
            for number in range(3):
                print(number, flush=True)
                written.append(number)
            sys.stdout.writelines(["a\n", "b\n"])
            assert sys.stdout.fileno() == pipe
            assert not sys.stdout.isatty()
        assert sys.stdout is stream
        print("later", flush=True)
    assert written == [0, 1, 2]


def test_what_is_read_arrives_and_other_pipes_fail_as_ever(capsys):
    @outlasting_readers()
    def command():
        print("told")
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        command()
    assert capsys.readouterr().out == "told\n"
