"""What libraries look for anew each time is found once while tests run."""

import inspect
import os
import subprocess
import sys

import torch.distributed  # noqa: F401 - the library of which the launcher is a part


def test_the_launcher_walks_up_the_stack_but_once(monkeypatch):
    from torch.distributed.elastic.rendezvous import dynamic_rendezvous  # as late as the launcher itself does it

    name = dynamic_rendezvous.get_method_name()
    monkeypatch.setattr(inspect, "stack", None)
    assert dynamic_rendezvous.get_method_name() == name


def test_a_frame_of_no_file_is_looked_for_in_no_module(monkeypatch):
    made_up: dict = {}
    exec(compile("import sys\ndef frame(): return sys._getframe()", "<made up>", "exec"), made_up)
    frame = made_up["frame"]()
    monkeypatch.setattr(sys, "modules", NotWalkedThrough(sys.modules))
    assert inspect.getmodule(frame) is None


class NotWalkedThrough(dict):
    def copy(self):
        raise AssertionError("a walk through all modules")


def test_a_process_that_tests_start_looks_for_garbage_seldom():
    last = os.environ["PYTHONPATH"].split(os.pathsep)[-1]  # of a user's own there may be another one, which comes first
    command = [sys.executable, "-c", "import gc; print(gc.get_threshold()[0])"]
    told = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONPATH": last})
    assert int(told.stdout) == 20_000
