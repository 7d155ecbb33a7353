"""What a process prints: lines that drive no terminal, and a label before them where several print at once."""

import logging
import sys

from tests.command_line.test_console import DRIVING, SHOWN
from vae_lightning.launch.output import configure_logging, labelled_output


def test_the_log_drives_no_terminal(capsys):
    configure_logging()
    logging.getLogger("vae_lightning.building.stored").info("key=%s: is not taken", DRIVING)
    assert capsys.readouterr().out == f"key={SHOWN}: is not taken\n"


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
