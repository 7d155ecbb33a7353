"""What a process asks of the system, as Python's audit hook tells it, and what of that no stranger's file may cause."""

import os
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import vae_lightning
from soak.canary import Place

_REPOSITORY = Path(__file__).resolve().parent.parent
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Of each event: where among its arguments a path stands, and the descriptor of the folder that it is relative to.
_CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
    "os.truncate": ((0, None),),
    "os.setxattr": ((0, None),),
    "os.removexattr": ((0, None),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((0, 2), (1, 3)),
    "os.symlink": ((1, 2),),
}
_IMPORTS = {"canary_module", "webbrowser", "antigravity", "this", "ftplib", "telnetlib", "smtplib", "turtle", "pty"}
_RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "webbrowser.open")
_NET = ("connect", "bind", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto", "sendmsg")
_SOCKETS = tuple(f"socket.{name}" for name in _NET)
_READ_ANYWHERE = (
    *("/proc", "/sys", "/dev/null", "/dev/urandom", "/dev/shm", "/usr", "/lib", "/lib64"),
    *("/etc/localtime", "/etc/timezone", "/etc/mime.types", "/etc/os-release", "/etc/ld.so.cache", "/etc/locale.alias"),
)
_PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp", ".zip", ".tar", ".tgz", ".gz")


def watch(record: Callable[[list[Any]], None]) -> None:
    """Record from now on what this process and its forks open, change, start and connect to."""
    known = set(sys.modules)
    folder = _noting_folders()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            _opened(record, folder, arguments)
        elif event in _CHANGES:
            for path, directory in _CHANGES[event]:
                given = arguments[directory] if directory is not None else -1
                resolved = _resolved(arguments[path], given if given != -1 else None)
                if event != "os.mkdir" or not os.path.isdir(resolved):  # to make what is there changes nothing
                    record([event, resolved])
        elif event in _RUNS or event in _SOCKETS:
            record([event, *(_plain(argument) for argument in arguments[:2])])  # what follows may be the environment
        elif event in ("ctypes.dlopen", "import") and arguments[0] is not None and arguments[0] not in known:
            record([event, str(arguments[0])])

    sys.addaudithook(hook)


def _noting_folders() -> dict[str, int | None]:
    """The folder that `os.open` was given by its descriptor, of which its event says nothing."""
    noted: dict[str, int | None] = {"descriptor": None}
    original = os.open

    def opening(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        noted["descriptor"] = dir_fd
        try:
            return original(path, flags, mode, dir_fd=dir_fd)
        finally:
            noted["descriptor"] = None

    os.open = opening
    return noted


def _opened(record: Callable[[list[Any]], None], folder: dict[str, int | None], arguments: tuple[Any, ...]) -> None:
    path, _, flags = arguments
    if isinstance(path, str | bytes | os.PathLike):
        kind = "write" if (flags or 0) & _WRITING else "read"
        record([kind, _resolved(path, folder["descriptor"])])


def _resolved(path: Any, folder: int | None) -> str:
    text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else os.readlink(f"/proc/self/fd/{path}")
    if folder is not None:
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
    # The last name is what is meant: a link is removed or renamed itself; the folders before it are followed.
    parent, name = os.path.split(os.path.abspath(text))
    return os.path.join(os.path.realpath(parent), name)


def _plain(argument: Any) -> Any:
    return repr(argument)[:300]


def violations(place: Place, events: Iterable[list[Any]], readable: Iterable[Path] = ()) -> list[str]:
    """What a command did that no file of a stranger may make it do, in words; empty where it kept to its run.

    Args:
        place: of the case.
        events: as `watch` recorded them.
        readable: folders of which pictures and archives may be read, and what a cache of decoded pictures has of them.
    """
    judged = (_judged(place, event, tuple(readable)) for event in events)
    return list(dict.fromkeys(told for told in judged if told))


def _judged(place: Place, event: list[Any], readable: tuple[Path, ...]) -> str | None:
    kind, *arguments = event
    if kind in _RUNS:
        return None if is_own_process(arguments) else f"executed: {kind} {' '.join(map(str, arguments))}"
    if kind in _SOCKETS:
        return f"socket: {kind} {' '.join(map(str, arguments[1:]))}"
    if kind == "import":
        return _judged_import(arguments[0])
    if kind == "ctypes.dlopen":
        return None if _is_below(arguments[0], _code()) or "/" not in arguments[0] else f"executed: {event}"
    if kind == "read":
        return None if _may_read(place, arguments[0], readable) else f"read: {_told(place, arguments[0])}"
    return None if _may_write(place, arguments[0]) else f"written: {kind} {_told(place, arguments[0])}"


def _judged_import(name: str) -> str | None:
    return f"executed: import {name}" if name.partition(".")[0] in _IMPORTS else None


def is_own_process(arguments: list[Any]) -> bool:
    """The commit of the source tree is asked of git, the processor of uname; nothing else is started."""
    told = " ".join(map(str, arguments))
    return ("git" in told and "rev-parse" in told) or ("uname" in told and "-p" in told)


def _may_write(place: Place, path: str) -> bool:
    if path in ("/dev/null", "/dev/tty") or path.startswith(("/dev/shm/", "/proc/self/")):
        return True
    if re.fullmatch(r"/proc/\d+/clear_refs", path):  # where the kernel is asked to count a peak of memory anew
        return True
    return _is_below(os.path.realpath(path), [os.path.realpath(folder) for folder in place.writable])


def _may_read(place: Place, path: str, readable: tuple[Path, ...]) -> bool:
    real = os.path.realpath(path)
    if not real.startswith(os.path.realpath(place.root) + "/"):
        anywhere = os.path.isdir(real) or _is_below(real, [*_code(), *_READ_ANYWHERE])  # names are no secret
        return anywhere or _is_picture(real, readable)
    own = [os.path.realpath(folder) for folder in (*place.writable, place.root / "home/.config")]
    return _is_below(real, own) or os.path.isdir(real) or not os.path.exists(real) or _is_picture(real, readable)


def _is_picture(path: str, readable: tuple[Path, ...]) -> bool:
    folder, name = os.path.split(path)
    is_cached = os.path.basename(folder).startswith("images-") or (
        name.startswith("values-") and name.endswith(".json")
    )
    is_picture = path.lower().endswith(_PICTURES) or is_cached
    return (is_picture or os.path.isdir(path)) and _is_below(path, map(os.path.realpath, readable))


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in map(str, folders))


def _code() -> list[str]:
    paths = [sys.prefix, sys.base_prefix, *site.getsitepackages(), *sysconfig.get_paths().values()]
    roots = (_REPOSITORY, Path(vae_lightning.__file__).resolve().parent.parent)  # of the soak, and of what it attacks
    own = [str(root / name) for root in roots for name in ("vae_lightning", "conf", "soak", "tests")]
    return [os.path.realpath(path) for path in paths] + own


def _told(place: Place, path: str) -> str:
    """A path as a record may keep it: without the folder of this case."""
    for root, name in ((place.root, "<place>"), (place.root.parent, "<its parent>")):
        path = path.replace(str(root), name).replace(os.path.realpath(root), name)
    return path
