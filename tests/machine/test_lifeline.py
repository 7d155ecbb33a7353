"""A training process does not outlive its parent, and not for long the signal that is to end it."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from vae_lightning.machine import lifeline
from vae_lightning.runs.records import _is_alive

# A process that answers SIGTERM with nothing, as one does that waits for a rank that is gone.
STUCK = """
import signal, sys, time
from vae_lightning.machine import lifeline
lifeline._GRACE_S = lifeline._GRACE_OF_CHILDREN_S = float(sys.argv[1])
lifeline._AT_ONCE_S = 0.1
way = getattr(lifeline, sys.argv[2])()
if way is not None:
    way.__enter__()
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
for number in (signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, lambda *_: None)
print("ready", flush=True)
while True:
    time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], "3", "end_with_parent"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not _is_alive(pid):  # though nobody may have taken note yet
            return True
        time.sleep(0.1)
    return False


def stuck(grace_s: float, way: str) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    child = subprocess.Popen([sys.executable, "-c", STUCK, str(grace_s), way], **pipes)
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize(
    ("number", "way", "code"), [(signal.SIGTERM, "end_with_parent", 143), (signal.SIGTERM, "ended_after_signals", 143)]
)
def test_a_stuck_process_ends_after_the_grace_with_the_code_of_the_signal(number, way, code):
    child = stuck(1, way)
    child.send_signal(number)
    assert child.wait(timeout=10) == code
    assert child.stderr.read() == "ended 1 seconds after the signal, without saving\n"


def test_the_grace_is_half_a_minute_and_that_of_children_ends_before():
    assert lifeline._GRACE_OF_CHILDREN_S + 5 <= lifeline._GRACE_S == 30


def test_a_second_ctrl_c_ends_a_stuck_process_at_once():
    child = stuck(60, "ended_after_signals")
    child.send_signal(signal.SIGINT)
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)  # the same, which a launcher has passed on
    time.sleep(0.8)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=10) == 130
    assert child.stderr.read() == "ended at once, without saving\n"


def test_other_signals_end_nothing():
    child = stuck(0.3, "ended_after_signals")
    child.send_signal(signal.SIGUSR1)
    time.sleep(1)
    assert child.poll() is None
    child.kill()
    child.wait()


def test_one_thread_watches_however_often_it_is_asked():
    with lifeline.ended_after_signals(), lifeline.ended_after_signals():
        assert [thread.name for thread in threading.enumerate()].count("lifeline") == 1


def test_what_the_interpreter_writes_of_signals_goes_nowhere_else_afterwards_nor_in_a_fork():
    with lifeline.ended_after_signals():
        child = os.fork()
        if child == 0:
            os._exit(0 if signal.set_wakeup_fd(-1) == -1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert signal.set_wakeup_fd(-1) == -1


def test_a_child_ends_after_its_parent_was_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT, STUCK], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    assert parent.stdout.readline() == "told\n"  # as SIGTERM first
    assert not gone(child, within_s=2)  # for it is to save
    assert gone(child, within_s=10)
    parent.wait()


def test_a_process_that_has_answered_goes_on(monkeypatch):
    monkeypatch.setattr(lifeline, "_GRACE_S", 0.5)
    before, threads = signal.signal(signal.SIGTERM, lambda *_: None), threading.active_count()
    try:
        with lifeline.ended_after_signals():
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.7)  # after which the process of the tests would have ended
        assert threading.active_count() == threads
    finally:
        signal.signal(signal.SIGTERM, before)
