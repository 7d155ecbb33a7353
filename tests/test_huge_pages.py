"""The processes that are forked most have few page tables."""

import subprocess
import sys
from pathlib import Path

import pytest

ROLLUP = Path("/proc/self/smaps_rollup")
PROGRAM = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("huge_pages", sys.argv[1])
huge_pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(huge_pages)
kept = [bytes(1000) for _ in range(50_000)]
huge_pages.gather()
assert all(each == bytes(1000) for each in kept)
(line,) = [line for line in open("/proc/self/smaps_rollup") if line.startswith("AnonHugePages")]
print(line.split()[1])
"""


@pytest.mark.skipif(not ROLLUP.exists(), reason="no Linux that tells what lies in huge pages")
def test_what_there_is_lies_in_huge_pages_as_it_was():
    arguments = [sys.executable, "-c", PROGRAM, str(Path(__file__).with_name("huge_pages.py"))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    if done.stdout == "0\n":
        pytest.skip("this kernel gathers no pages when it is asked to")
    assert int(done.stdout) > 20_000  # kB, of 50 MB
