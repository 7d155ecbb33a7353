"""Faults that are planted, to show that the soak finds what it is to find: a case holds where its fault was told."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from soak import commands
from soak.attacks import Attack, attempt
from soak.canary import SECRET, Place
from soak.comparing import differences
from soak.records import Outcome
from soak.specimens import Specimens
from soak.strace import Strace

_LIMIT_S = 5.0
_MEGABYTES = 1500.0


def planted_cases(specimens: Specimens, place: Path) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """All of them, by name."""
    for name, (expected, fault) in FAULTS.items():
        traced = expected.endswith("traced")
        if not traced or Strace.is_here():
            yield name, lambda name=name, expected=expected, fault=fault: _attempt(name, expected, fault, place)  # type: ignore[misc]
    yield "a config that may build anything", lambda: _trusting(specimens, place)
    yield "nothing at all", lambda: _same(specimens.digits, place)
    for name, damage in DAMAGES.items():
        yield name, lambda name=name, damage=damage: _compared(name, damage, specimens.digits, place)  # type: ignore[misc]


def _attempt(name: str, expected: str, fault: Callable[[Place], object], root: Path) -> Outcome:
    attack = Attack(name, lambda place: None, commands=(fault,), limit_s=_LIMIT_S, megabytes=_MEGABYTES)
    outcome, traced = expected.split()[0], expected.endswith("traced")
    return _turned(attempt("planted", attack, root, traced=traced), outcome)


def _turned(outcome: Outcome, expected: str) -> Outcome:
    """Held where what went wrong is what was expected to."""
    found = expected in outcome.outcomes
    told = () if found else (f"lost: {expected} was not found, but {', '.join(outcome.outcomes)}",)
    return Outcome("planted", outcome.case, ("held",) if found else ("lost",), 1, told, outcome.seconds)


def _trusting(specimens: Specimens, root: Path) -> Outcome:
    """The user's own command line may build anything: the payload is executed, and found."""

    def opened(place: Place) -> None:
        commands.train(f"resume={place.run}", "trainer.max_epochs=3", "trust=[canary_module]", _EVIL)

    attack = Attack("a config that may build anything", lambda place: None, specimens.digits, (opened,))
    return _turned(attempt("planted", attack, root), "executed")


_EVIL = "+callbacks.evil={_target_: canary_module.Touch}"


def _same(run: Path, root: Path) -> Outcome:
    """What is the same is told to be the same."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(run, root / "run")
    found = differences(root / "run", run)
    return Outcome("planted", "nothing at all", ("lost",) if found else ("held",), 1, tuple(found))


def _compared(name: str, damage: Callable[[Path], object], run: Path, root: Path) -> Outcome:
    started = time.monotonic()
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(run, root / "run")
    damage(root / "run")
    found = "lost" if differences(root / "run", run) else "held"
    return _turned(Outcome("planted", name, (found,), seconds=time.monotonic() - started), "lost")


def _write(path: Path) -> None:
    path.write_text("x")


def _connect(place: Place) -> None:
    with socket.socket() as tried:
        tried.connect_ex(("127.0.0.1", 9))


def _grow(place: Place) -> None:
    kept = [b"x" * 100_000_000 for _ in range(15)]
    time.sleep(len(kept))


def _natively(path: Path) -> None:
    """Without a word to Python's audit hook."""
    library = ctypes.CDLL(None)
    file = library.open(str(path).encode(), os.O_RDWR | os.O_CREAT, 0o600)
    library.close(file)


def _natively_and_back(path: Path) -> None:
    _natively(path)
    ctypes.CDLL(None).unlink(str(path).encode())


def _refuse() -> None:
    raise RuntimeError("planted")


# What it is to be told as (`traced`: by strace alone), and the fault.
FAULTS: dict[str, tuple[str, Callable[[Place], object]]] = {
    "a payload that runs": ("executed", lambda place: _write(place.marker)),
    "a program that is started": ("executed", lambda place: subprocess.run(["true"], check=False)),
    "a command of a shell": ("executed", lambda place: os.system("true")),
    "a module of the folder": ("executed", lambda place: __import__("canary_module")),
    "a file written outside": ("outside", lambda place: _write(place.outside / "new")),
    "a file written beside the run": ("outside", lambda place: _write(place.root / "run_2")),
    "a file written at home": ("outside", lambda place: _write(place.root / "home/.profile")),
    "a file appended to": ("outside", lambda place: (place.outside / "train.log").open("a").close()),
    "a file removed": ("outside", lambda place: (place.outside / "secret.txt").unlink()),
    "a folder removed": ("outside", lambda place: shutil.rmtree(place.outside / "folder")),
    "a folder made": ("outside", lambda place: (place.outside / "new").mkdir()),
    "a file renamed": ("outside", lambda place: (place.outside / "train.log").rename(place.outside / "x")),
    "a link made": ("outside", lambda place: (place.outside / "x").symlink_to("y")),
    "a file put back as it was": ("outside", lambda place: ((place.cwd / "x").touch(), (place.cwd / "x").unlink())),
    "a file written by native code": ("outside", lambda place: _natively(place.outside / "new")),
    "a file written by native code and removed": (
        "outside traced",
        lambda place: _natively_and_back(place.outside / "new"),
    ),
    "a secret read": ("outside", lambda place: (place.outside / "secret.txt").read_text()),
    "a secret told": ("outside", lambda place: print(os.environ["CANARY_SECRET"], SECRET)),
    "a file of the system read": ("outside", lambda place: Path("/etc/passwd").read_text()),
    "a connection": ("outside", _connect),
    "a name looked up": ("outside", lambda place: socket.getaddrinfo("127.0.0.1", 9)),
    "a command without end": ("hung", lambda place: time.sleep(1000)),
    "a traceback": ("crashed", lambda place: _refuse()),
    "a segmentation fault": ("crashed", lambda place: os.kill(os.getpid(), signal.SIGSEGV)),
    "an exit without a word": ("crashed", lambda place: sys.exit(70)),
    "memory without end": ("crashed", _grow),
}


def _other_weight(run: Path) -> None:
    file = run / "checkpoints/last.ckpt"
    stored = torch.load(file, weights_only=True)
    weight = next(value for value in stored["state_dict"].values() if value.is_floating_point())
    weight.view(-1)[0] = torch.nextafter(weight.view(-1)[0], torch.tensor(torch.inf))
    torch.save(stored, file)


def _row_doubled(run: Path) -> None:
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join([*lines, lines[-1]]))


def _other_pixel(run: Path) -> None:
    file = run / "training.gif"
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(bytes(content))


# What a kill could cost, done to a run that is whole.
DAMAGES: dict[str, Callable[[Path], object]] = {
    "a weight lost its last bit": _other_weight,
    "a picture is missing": lambda run: next((run / "images/samples").iterdir()).unlink(),
    "a picture too many": lambda run: (run / "images/samples/epoch_0099.png").write_bytes(b"x"),
    "an animation of another bit": _other_pixel,
    "a row twice": _row_doubled,
    "figures gone": lambda run: (run / "metrics.json").unlink(),
    "events gone": lambda run: [file.unlink() for file in run.glob("events*")],
    "a status that is not true": lambda run: (run / "status.json").write_text('{"status": "running"}'),
}
