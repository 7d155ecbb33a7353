"""Processes that the nursery forks pass for those that pytest-xdist starts."""

import array
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import nursery, warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="test processes are forked on Linux only")


@pytest.fixture
def asked(tmp_path) -> Iterator[socket.socket]:
    with nursery.listening(str(tmp_path / "requests")) as asked:
        yield asked


def asking(address: Path) -> subprocess.Popen[str]:
    words = ["-SE", nursery.__file__, "ask", str(address), "-u", "-c", "print('anew')"]
    return subprocess.Popen([sys.executable, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def test_without_a_nursery_python_itself_runs(tmp_path):
    assert asking(tmp_path / "nobody").communicate(timeout=60) == ("anew\n", None)


def test_and_so_it_does_where_the_nursery_cannot_be_forked(asked, tmp_path):
    process = asking(tmp_path / "requests")
    asked.accept()[0].close()
    assert process.communicate(timeout=60) == ("anew\n", None)


@pytest.mark.parametrize(("status", "returned"), [(0, 0), (3, 3), (-9, 137)])
def test_it_ends_as_the_fork_does_which_has_its_files(asked, tmp_path, status, returned):
    process = asking(tmp_path / "requests")
    with asked.accept()[0] as connection:
        message, files, _, _ = socket.recv_fds(connection, 10_000, 3)
        assert message == b'{"program": "print(\'anew\')"}'
        assert [os.path.sameopenfile(file, process.stdout.fileno()) for file in files[:2]] == [False, True]
        connection.send(b"forked")
        os.write(files[1], b"of the fork\n")
        for file in files:
            os.close(file)
        connection.send(array.array("i", [status]).tobytes())
    assert process.communicate(timeout=60) == ("of the fork\n", None)
    assert process.returncode == returned


def test_a_python_that_was_chosen_is_left_alone():
    specs = [SimpleNamespace(popen=True, python=None), SimpleNamespace(popen=True, python="python3.12")]
    nursery.raise_workers(specs)
    assert [spec.python for spec in specs] == [None, "python3.12"]


@pytest.mark.skipif(not warm._GIVEN, reason="this process was started anew")
def test_this_process_is_a_fork_that_has_its_own_place():
    parent = Path(f"/proc/{os.getppid()}/cmdline").read_text().split("\0")
    assert nursery.__file__ in parent
    assert not {*nursery.ROOM, nursery.GIVEN} & os.environ.keys()
    assert Path(warm.zygote().address).is_socket()
    assert os.getpgid(0) == os.getpgid(os.getppid())  # which Ctrl-C reaches
