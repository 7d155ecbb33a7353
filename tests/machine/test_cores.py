"""How busy the machine is, and how many threads are started on it."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from vae_lightning.machine import cores
from vae_lightning.machine.cores import OtherProcesses, take_threads
from vae_lightning.machine.hardware import num_cpus


def taking(cores_taken: float) -> OtherProcesses:
    """Other processes that take so many cores."""
    others = OtherProcesses()
    others.cores_taken = lambda: cores_taken
    return others


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(cores, "num_cpus", lambda: 8)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("taken", "threads"), [(0.0, 8), (0.4, 8), (0.6, 7), (3.1, 5), (7.2, 1), (8.0, 1)])
def test_a_thread_for_each_core_that_is_free(taken, threads):
    told = take_threads("auto", taking(taken))
    assert torch.get_num_threads() == threads
    assert (told is None) == (threads == 8)
    if told:
        assert told.startswith(
            f"other processes take {taken:.1f} of 8 cores, so this one computes with {threads} thread"
        )


def test_more_threads_than_cores_are_told():
    told = take_threads(9, taking(0.0))
    assert told == "trainer.num_threads=9: more than the 8 cores here, which slows all threads down"
    assert torch.get_num_threads() == 9


def test_a_run_of_a_large_machine_does_not_stand_still_on_a_small_one():
    assert take_threads(99, taking(0.0)).endswith("which slows all threads down; 16 are taken")
    assert torch.get_num_threads() == 16


def test_what_the_user_says_counts(monkeypatch):
    assert take_threads(3, taking(8.0)) is None
    assert torch.get_num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert take_threads("auto", taking(8.0), before=2) is None
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("before", "threads"), [(2, 2), (8, 8), (9, 1), (0, 1), (-1, 1), (True, 1), ("2", 1), (None, 1)]
)
def test_a_run_goes_on_with_as_many_as_before(before, threads):
    take_threads("auto", taking(8.0), before=before)
    assert torch.get_num_threads() == threads


def test_own_work_is_not_taken_for_that_of_others(monkeypatch):
    readings = iter([{"at": 0.0, "idle": 0.0, "own": 0.0}, {"at": 10.0, "idle": 50.0, "own": 10.0}])
    monkeypatch.setattr(cores, "_reading", lambda: next(readings))
    assert OtherProcesses().cores_taken() == 2.0  # of 80 core-seconds 50 were idle and 10 its own


def test_a_busy_process_is_seen(monkeypatch):
    monkeypatch.setattr(cores, "num_cpus", num_cpus)
    spin = "import time; end = time.time() + 20\nwhile time.time() < end: pass"
    with subprocess.Popen([sys.executable, "-c", spin]) as process:
        time.sleep(0.3)
        others = OtherProcesses()
        time.sleep(0.5)
        taken = others.cores_taken()
        process.kill()
    assert taken > 0.4


def test_only_the_cores_that_may_be_used_count(monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: {1}, raising=False)
    times = [SimpleNamespace(idle=float(n), iowait=0.5) for n in (1, 20, 300)]
    monkeypatch.setattr(cores.psutil, "cpu_times", lambda percpu: times)
    assert cores._reading()["idle"] == 20.5
