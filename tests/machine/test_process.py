"""A process that ends at once leaves nothing undone."""

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, signal, sys, threading, time
from vae_lightning.machine.process import run_as_program

def late():
    time.sleep(0.3)
    print("thread")

def main():
    atexit.register(print, "handler")
    threading.Thread(target=late).start()
    print("main")
    {ending}

run_as_program(main)
"""


@pytest.mark.parametrize(
    ("ending", "status", "told"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(130)", 130, ""),
        ("atexit.register(signal.raise_signal, signal.SIGINT); sys.exit(130)", 130, ""),  # Ctrl-C once more
        ("sys.exit('a reason')", 1, "a reason\n"),
    ],
)
def test_threads_end_handlers_run_and_output_arrives(ending, status, told):
    command = [sys.executable, "-c", PROGRAM.format(ending=ending)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "main\nthread\nhandler\n", told)


OPEN_FILES = """
import sys
from pathlib import Path
from vae_lightning.machine.process import run_as_program

def main():
    folder = Path(sys.argv[1])
    main.text = (folder / "text").open("w")
    main.text.write("as text")
    main.bytes = (folder / "bytes").open("wb")
    main.bytes.write(b"as bytes")
    gone = (folder / "closed").open("w")
    gone.write("closed")
    gone.close()
    main.broken = (folder / "broken").open("w")
    main.broken.write("x")
    import os
    os.close(main.broken.fileno())

run_as_program(main)
"""


def test_what_was_written_is_on_disk_though_the_file_was_never_closed(tmp_path):
    done = subprocess.run([sys.executable, "-c", OPEN_FILES, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    contents = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert contents == {"text": "as text", "bytes": "as bytes", "closed": "closed", "broken": ""}


def test_an_error_is_told_as_always():
    command = [sys.executable, "-c", PROGRAM.format(ending="raise RuntimeError('no')")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == "main\nthread\nhandler\n"
    assert done.stderr.endswith("RuntimeError: no\n")
