"""`print_config=true`, and the tags that stand in the config."""

import re
import sys

import yaml

from tests.trained import DIGITS
from vae_lightning.command_line.printed_config import print_config

FEW = ["callbacks=none", "logger=none", "trainer.max_epochs=1", "trainer.limit_train_batches=1"]


def test_it_is_printed_as_it_is_kept_with_the_tags_and_again_where_the_run_goes_on(command, tmp_path, capsys):
    run = tmp_path / "run"
    command(*DIGITS, *FEW, f"run_dir={run}", "tags=paper", "print_config=true")
    printed = capsys.readouterr().out.partition(f"\n{run} on ")[0]
    kept = yaml.safe_load((run / "config.yaml").read_text())
    assert yaml.safe_load(printed) == kept
    assert kept["tags"] == ["paper"]
    command(f"resume={run}", "trainer.max_epochs=2", "tags=[paper,longer]")
    assert "max_epochs:" not in capsys.readouterr().out
    assert yaml.safe_load((run / "config.yaml").read_text())["tags"] == ["paper", "longer"]
    command(f"resume={run}", "trainer.max_epochs=3", "print_config=true")
    printed = yaml.safe_load(capsys.readouterr().out.partition(f"\n{run} on ")[0])
    assert (printed["trainer"]["max_epochs"], printed["tags"]) == (3, ["paper", "longer"])


def test_on_a_terminal_it_is_a_tree_that_loses_no_letter(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    target = "vae_lightning.models.posteriors.diagonal_gaussian.DiagonalGaussian"
    print_config({"name": "run", "tags": ["a"], "model": {"_target_": target}, "logger": {}})
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "├── name: run" in shown
    assert "├── model" in shown
    assert target in re.sub(r"[\s│└├─]", "", shown)
    assert all(len(line) <= 40 for line in shown.splitlines())
