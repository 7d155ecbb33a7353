"""Archives as a stranger may pack them, given as `data.archive=`: those of the tests, and things that are no file."""

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from soak.attacks import Attack
from soak.canary import Place
from soak.specimens import FOLDER
from tests.data.hostile_archives import hostile_archives as written_archives

_TRAIN = (
    "{settings} data.archive={{root}}/data/{name} run_dir={{root}}/new/run logger=none callbacks=none "
    "data.max_archive_gb=0.03 data.max_bad_fraction=1 debug=fast"
)


def hostile_archives(folder: Path, seed: int, count: int) -> Iterator[Attack]:
    """So many archives, each trained on.

    Args:
        folder: where they are written first.
        seed: of their order.
        count: of attacks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    makers = [(path.name, partial(_copied, path)) for path in written_archives(folder)]
    makers += [(f"{name}.zip", write) for name, write in _NO_FILES.items()]
    random.Random(f"{seed}/archives").shuffle(makers)
    for number, (name, write) in enumerate(itertools.islice(itertools.cycle(makers), count)):
        command = _TRAIN.format(settings=" ".join(FOLDER), name=f"x.{name.partition('.')[2]}")
        yield Attack(f"{number:04} {name}", partial(_put, name, write), commands=(command,))


def _put(name: str, write: Callable[[Path, Place], object], place: Place) -> None:
    write(place.root / "data" / f"x.{name.partition('.')[2]}", place)


def _copied(source: Path, target: Path, place: Place) -> None:
    shutil.copyfile(source, target)


_NO_FILES: dict[str, Callable[[Path, Place], object]] = {
    "a link to endless zeros": lambda path, place: path.symlink_to("/dev/zero"),
    "a link to a folder outside": lambda path, place: path.symlink_to(place.outside),
    "a link to itself": lambda path, place: path.symlink_to(path.name),
    "a folder": lambda path, place: path.mkdir(),
}
