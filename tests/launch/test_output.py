"""What a process prints: lines that drive no terminal, a label before them, and no end where they can't be printed."""

import errno
import logging
import sys

from tests.command_line.test_console import DRIVING, SHOWN
from tests.disk.full import failing
from vae_lightning.launch.output import _Terminal, configure_logging, labelled_output
from vae_lightning.machine.terminal import quietly


def test_the_log_drives_no_terminal(capsys):
    configure_logging()
    logging.getLogger("vae_lightning.building.stored").info("key=%s: is not taken", DRIVING)
    assert capsys.readouterr().out == f"key={SHOWN}: is not taken\n"


def test_where_it_is_quiet_only_warnings_are_printed(capsys):
    with quietly():
        configure_logging()
        logging.getLogger("vae_lightning").info("epoch 1/2")
        logging.getLogger("vae_lightning").warning("no room")
    assert capsys.readouterr().out == "no room\n"


def test_a_label_stands_before_every_line_and_no_line_is_torn(monkeypatch, tmp_path):
    with (tmp_path / "out").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        labelled_output("[3] ")
        print("first", "second", sep="\n", end="")
        stream.flush()
        assert (tmp_path / "out").read_text() == "[3] first\n"  # the second is not yet whole
        print(" half")
    assert (tmp_path / "out").read_text() == "[3] first\n[3] second half\n"


class Full:
    encoding, isatty, fileno = "utf-8", (lambda self: False), (lambda self: 1)

    def write(self, text):
        failing(errno.ENOSPC)

    def flush(self):
        failing(errno.ENOSPC)


def test_lines_for_a_terminal_that_cannot_be_written_end_nothing(monkeypatch, told):
    monkeypatch.setattr("sys.stdout", Full())
    for _ in range(3):
        _Terminal().emit(logging.makeLogRecord({"msg": "a line"}))
    assert told() == ["the terminal: can't be written (No space left on device); the run goes on"]
