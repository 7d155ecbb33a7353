"""Run directories as a stranger may have packed them: links, FIFOs, devices, bombs and files of any size."""

import itertools
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from soak.attacks import Attack
from soak.canary import Place
from soak.payloads import YAML
from soak.specimens import Specimens

_FILES = (
    *("config.yaml", "overrides.yaml", "status.json", "metrics.json", "metrics.csv", "environment.json", "train.log"),
    *("training.gif", "checkpoints/last.ckpt", "checkpoints/best.ckpt", "images/training/epoch_0001.png"),
    *("images/reconstructions/epoch_0001.png", "report/index.html", "report/summary.csv", "generated/samples/x.png"),
    *(".lock", "checkpoints/last.ckpt.part", ".metrics.csv.1", "events.out.tfevents.1.x.1"),
)
_FOLDERS = ("images", "images/training", "images/samples", "checkpoints", "generated", "generated/samples", "report")


def hostile_directories(specimens: Specimens, seed: int, count: int) -> Iterator[Attack]:
    """So many attacks: each file of a run as each kind of thing, then each folder, in an order drawn by the seed."""
    pairs = [(name, kind) for name in _FILES for kind in KINDS] + [(name, kind) for name in _FOLDERS for kind in LINKS]
    random.Random(f"{seed}/directories").shuffle(pairs)
    for number, (name, kind) in enumerate(itertools.islice(itertools.cycle(pairs), count)):
        damage = partial(_replaced, name, (KINDS | LINKS)[kind])
        yield Attack(f"{number:04} {name} as {kind}", damage, specimens.digits, readable=specimens.readable)


def _replaced(name: str, make: Callable[[Path, Place], object], place: Place) -> None:
    path = place.run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    make(path, place)


def _link(target: str) -> Callable[[Path, Place], object]:
    return lambda path, place: path.symlink_to(target.replace("OUTSIDE", str(place.outside)))


def _socket(path: Path, place: Place) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def _sparse(path: Path, place: Place) -> None:
    with path.open("wb") as file:
        file.truncate(10**11)


def _hard_link(path: Path, place: Place) -> None:
    path.hardlink_to(place.outside / "train.log")


LINKS: dict[str, Callable[[Path, Place], object]] = {
    "a link to a folder outside": _link("OUTSIDE/folder"),
    "a link to pictures outside": _link("OUTSIDE/images/training"),
    "a link to nothing outside": _link("OUTSIDE/new"),
    "a link upwards": _link("../../.."),
    "a link to itself": lambda path, place: path.symlink_to(path.name),
    "a file": lambda path, place: path.write_text("x"),
}
KINDS: dict[str, Callable[[Path, Place], object]] = {
    "a link to a file outside": _link("OUTSIDE/train.log"),
    "a link to a secret": _link("OUTSIDE/secret.txt"),
    "a link to nothing outside": _link("OUTSIDE/new"),
    "a link to a folder outside": _link("OUTSIDE/folder"),
    "a link to endless zeros": _link("/dev/zero"),
    "a FIFO": lambda path, place: os.mkfifo(path),
    "a folder": lambda path, place: path.mkdir(),
    "a socket": _socket,
    "a file of 100 GB": _sparse,
    "another name of a file outside": _hard_link,
    "an alias bomb": lambda path, place: path.write_text(dict(YAML)["only an alias bomb"]),
    "brackets without end": lambda path, place: path.write_text("[" * 10**6),
    "numbers without end": lambda path, place: path.write_text('{"epochs": ' + "9" * 10**5 + "}"),
    "bytes of zero": lambda path, place: path.write_bytes(bytes(10**5)),
    "a comma a byte": lambda path, place: path.write_text(("," * 10**5 + "\n") * 3),
    "nothing": lambda path, place: path.write_bytes(b""),
}
