"""What a process asks of the system, as strace tells it: native code passes Python's audit hook by."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from soak.watch import is_own_process

_CALLS = "openat,open,creat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,link,linkat,symlink,symlinkat"
_CALLS += ",truncate,execve,connect,bind,mknod,mknodat"
_LINE = re.compile(r"^(?:\d+\s+)?(\w+)\((.*)\)\s+= (-?\d+)")
_ATTACHED_WITHIN_S = 10.0


class Strace:
    """Attaches strace to a process and its children, and afterwards gives its calls in the form of the audit hook's.

    Args:
        file: for its output; removed when it was read.
    """

    def __init__(self, file: Path):
        self.file = file

    @staticmethod
    def is_here() -> bool:
        return shutil.which("strace") is not None

    def __call__(self, pid: int) -> Callable[[], None]:
        command = ["strace", "-f", "-y", "-s", "500", "-e", f"trace={_CALLS}", "-o", str(self.file), "-p", str(pid)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _ATTACHED_WITHIN_S
        while _tracer_of(pid) == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        return lambda: process.wait(timeout=30) and None

    def events(self) -> list[list[Any]]:
        """The calls that had an effect."""
        try:
            lines = self.file.read_text(errors="replace").splitlines()
            self.file.unlink()
        except FileNotFoundError:
            return []
        return list(_events_of_all(lines))


def _events_of_all(lines: list[str]) -> Iterator[list[Any]]:
    """The events of all processes, but for what the programs do that every command asks something of."""
    asked: set[str] = set()
    for line in lines:
        pid = line.split(maxsplit=1)[0] if line else ""
        for event in _events(line):
            if event[0] == "os.exec" and is_own_process(event[1:]):
                asked.add(pid)
            elif pid not in asked:
                yield event


def _tracer_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("TracerPid:"):
            return int(line.split()[1])
    return 0


def _events(line: str) -> list[list[Any]]:
    found = _LINE.match(line)
    if not found or int(found[3]) < 0:  # a call that failed has touched nothing
        return _connections(line)
    call, arguments = found[1], found[2]
    if call in ("connect", "bind"):
        return _connections(line)
    paths = _paths(arguments)
    if call in ("open", "openat", "creat"):
        writes = call == "creat" or re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)", arguments)
        return [["write" if writes else "read", paths[0]]] if paths else []
    if call == "execve":
        return [["os.exec", *paths[:1], arguments[:200]]]
    kept = paths[-1:] if call.startswith("symlink") else paths
    return [[call, path] for path in kept]


def _connections(line: str) -> list[list[Any]]:
    """Attempts count, too: whether somebody answers is not the attacker's choice."""
    found = re.search(r"\b(connect|bind)\(.*sa_family=(AF_INET6?)\b.*", line)
    return [[f"socket.{found[1]}", "", found[0][:200]]] if found else []


def _paths(arguments: str) -> list[str]:
    """The paths among the arguments, those relative to a folder's descriptor behind it: AT_FDCWD</here>, "name"."""
    folder, found = "", []
    for given, quoted in re.findall(r'(?:AT_FDCWD|\b\d+)<([^>]*)>|"((?:[^"\\]|\\.)*)"', arguments):
        if given:
            folder = given
        elif quoted:
            found.append(quoted if quoted.startswith("/") else f"{folder}/{quoted}")
    return found
