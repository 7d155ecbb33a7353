"""What forks need of the system, and what forbids them."""

import os
import subprocess
import sys

import pytest

from vae_lightning.machine import forks

# Told from a process of its own, for pytest has threads.
REASONS = """
import sys, threading
from vae_lightning.machine import forks
print(repr(forks.why_not_to_fork()))
forks._DEVICES = (sys.argv[1],)
with open(sys.argv[1]):
    print(repr(forks.why_not_to_fork()))
ended = threading.Event()
threading.Thread(target=ended.wait).start()
print(repr(forks.why_not_to_fork()))
ended.set()
"""
# A process that outlives its parent, whose parent then is the one that adopts it, while it does.
ADOPTED = """
import os, subprocess, sys, time
from vae_lightning.machine.forks import adopting
def orphan():
    script = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=-3, stderr=-3).pid)"
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
def parent(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
with adopting():
    with adopting():
        pass
    first = orphan()
second = orphan()
print([parent(pid) == os.getpid() for pid in (first, second)])
for pid in (first, second):
    os.kill(pid, 9)
"""


def printed(script: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.stdout


def test_threads_and_the_files_of_a_gpu_forbid_forks(tmp_path):
    device = tmp_path / "nvidiactl"
    device.touch()
    told = ["", f"the imports have opened {device}", "the imports have started 1 thread"]
    assert printed(REASONS, str(device)).splitlines() == [repr(reason) for reason in told]


def test_a_process_adopts_only_meanwhile():
    assert printed(ADOPTED) == "[True, False]\n"


@pytest.mark.parametrize("lacking", ["linux", "fork", "prctl"])
def test_without_what_it_needs_there_is_no_adopting(monkeypatch, lacking):
    assert forks.can_adopt()
    if lacking == "linux":
        monkeypatch.setattr(sys, "platform", "darwin")
    elif lacking == "fork":
        monkeypatch.delattr(os, "fork")
    else:
        monkeypatch.setattr(forks, "_WHETHER_IT_ADOPTS", 9999)  # as a kernel that doesn't know it
    assert not forks.can_adopt()
