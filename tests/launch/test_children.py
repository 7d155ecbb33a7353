"""Fresh processes build what their parent was allowed, and import from where it does."""

import json
import os
import signal
import subprocess
import sys
import weakref
from contextlib import suppress

import pytest
import yaml

from tests.runs.test_trained import edit_config
from vae_lightning.building.trust import Trust, trusting
from vae_lightning.data.digits import Digits
from vae_lightning.errors import UserError
from vae_lightning.launch import children
from vae_lightning.machine.interruption import Interrupted
from vae_lightning.runs.records import RunDir
from vae_lightning.training import run as training


@pytest.fixture
def run(digits_run, moved) -> RunDir:
    return moved(digits_run)


class _StartedError(Exception):
    pass


def arguments_of_children(monkeypatch, run: RunDir, trusted: Trust | None) -> list[str]:
    import torch.distributed.launcher.api

    def launch(config, program):
        def call(*arguments):
            started.extend(arguments)
            raise _StartedError

        return call

    started: list[str] = []
    monkeypatch.setattr(torch.distributed.launcher.api, "elastic_launch", launch)
    with pytest.raises(_StartedError):
        children.train_in_children(run, 2, resume=True, trusted=trusted)
    return started[2:]


@pytest.mark.parametrize("trusted", [None, Trust(), trusting(["my nets"], ["data.root", "callbacks"])])
def test_a_child_builds_what_its_parent_was_allowed(run, monkeypatch, trusted):
    arguments, built = arguments_of_children(monkeypatch, run, trusted), []

    def build(config, run_dir, **options):
        built.append(options)
        raise UserError("far enough")

    monkeypatch.setattr(training, "build", build)
    monkeypatch.setattr("vae_lightning.machine.lifeline.end_with_parent", lambda parent: None)
    monkeypatch.setattr(os, "getppid", os.getpid)  # this process is the parent, too
    monkeypatch.setattr(sys, "argv", ["children", *arguments])
    with pytest.raises(SystemExit):
        children.main()
    assert built == [{"resume": True, "trusted": trusted}]


def test_a_child_that_is_told_nothing_takes_its_config_for_a_strangers(run, monkeypatch):
    edit_config(run, lambda config: config["model"].update(_target_="os.system", command="touch owned"))
    run.write_status("running")
    monkeypatch.setattr("vae_lightning.machine.lifeline.end_with_parent", lambda parent: None)
    monkeypatch.setattr(sys, "argv", ["children", str(run.path), "--resume"])
    with pytest.raises(SystemExit):
        children.main()
    status = json.loads((run.path / "status.json").read_text())
    assert status["reason"].startswith("model._target_=os.system: a stored config may only build build_vae or what is")


def test_a_resume_on_two_ranks_hands_on_what_was_typed(run, command, monkeypatch):
    handed = []
    monkeypatch.setattr(
        "vae_lightning.launch.start.train_in_children", lambda run_dir, num_ranks, **options: handed.append(options)
    )
    edit_config(run, lambda config: config["trainer"].update(strategy="ddp"))
    command(f"resume={run.path}", "trainer.max_epochs=3", "trainer.devices=2", "trust=[mine]")
    typed = ["trainer.max_epochs", "trainer.devices", "output_dir"]  # the last one is the command's, typed or not
    assert handed == [{"resume": True, "trusted": trusting(["mine"], typed), "is_told": True}]
    written = yaml.safe_load((run.path / "config.yaml").read_text())
    assert written["trainer"]["devices"] == 2


@pytest.mark.parametrize("words", [["data=digits", "model=mlp", "debug=fast", "run_dir=new"], ["trainer.max_epochs=3"]])
def test_the_data_take_no_memory_in_a_command_while_its_ranks_train(run, command, monkeypatch, tmp_path, words):
    opened, left = [], []
    load = Digits.load_splits
    monkeypatch.setattr(Digits, "load_splits", lambda data: opened.append(weakref.ref(data)) or load(data))
    monkeypatch.setattr(
        "vae_lightning.launch.start.train_in_children", lambda *_, **__: left.extend(each() for each in opened)
    )
    edit_config(run, lambda config: config["trainer"].update(strategy="ddp"))
    monkeypatch.chdir(tmp_path)
    with suppress(FileNotFoundError):  # of the figures that no rank has written
        command(*words, *([f"resume={run.path}"] if len(words) == 1 else ["trainer.strategy=ddp"]), "trainer.devices=2")
    assert left == [None]


@pytest.mark.parametrize("is_in_path", [False, True])
def test_children_import_from_where_their_parent_does(tmp_path, monkeypatch, is_in_path):
    (tmp_path / "in_the_run.py").write_text("print('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*([str(tmp_path)] if is_in_path else []), *filter(os.path.isabs, sys.path)])
    with children.environment(**children._same_imports()):
        child = subprocess.run([sys.executable, "-m", "in_the_run"], capture_output=True, text=True, check=False)
    assert (child.stdout == "imported\n") is is_in_path


@pytest.mark.parametrize("rank_has_told", [False, True])
def test_an_interruption_is_told_in_the_words_of_the_rank_that_knows_what_it_costs(run, monkeypatch, rank_has_told):
    import torch.distributed.launcher.api
    from torch.distributed.elastic.multiprocessing.api import SignalException

    def launch(*_):
        if rank_has_told:
            run.write_status("interrupted", f"SIGTERM; {run.way_on(40)}")
        raise SignalException("told to end", signal.SIGTERM)

    monkeypatch.setattr(torch.distributed.launcher.api, "elastic_launch", lambda *_: launch)
    with pytest.raises(Interrupted) as interrupted:
        children.train_in_children(run, 2, resume=False, trusted=None)
    again = ", the last 40 s are done again" if rank_has_told else ""
    assert str(interrupted.value) == f"SIGTERM; go on with resume={run.path}{again}"
    assert run.status()["reason"] == str(interrupted.value)
