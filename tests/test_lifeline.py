"""A training process does not outlive its parent, and not for long the signal that is to end it."""

import os
import signal
import subprocess
import sys
import time

import pytest

# A process that answers SIGTERM with nothing, as one does that waits for a rank that is gone.
STUCK = """
import signal, sys, time
from vae_lightning import lifeline
lifeline._GRACE_S = float(sys.argv[1])
lifeline.end_with_parent()
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
print("ready", flush=True)
while True:
    time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], "1"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stuck_process_ends_after_the_grace(number):
    child = subprocess.Popen([sys.executable, "-c", STUCK, "1"], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    assert child.wait(timeout=10) != 0


def test_a_child_ends_after_its_parent_was_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT, STUCK], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    assert parent.stdout.readline() == "told\n"  # as SIGTERM first
    assert gone(child, within_s=10)
    parent.wait()
