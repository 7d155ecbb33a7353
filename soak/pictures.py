"""Mutated pictures, decoded as a folder and read one by one, a hundred in a fork."""

import itertools
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from soak.attacks import MOST_MEGABYTES
from soak.canary import Place, changes, listing, prepare
from soak.forks import Ended, forked
from soak.records import Outcome
from soak.watch import violations, watch
from tests.data.mutations import mutated_pictures

IN_A_CASE = 100
_LIMIT_S = 300.0  # for a hundred, which take two seconds on an idle core
_OPTIONS = {"image_size": 16, "max_bad_fraction": 1.0, "val_fraction": 0.2, "test_fraction": 0.2}


def picture_cases(root: Path, seed: int, count: int) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """So many pictures in cases of a hundred."""
    for number in range(-(-count // IN_A_CASE)):
        name = f"{number:04}"
        yield name, lambda number=number, name=name: _attempt(name, root, [seed, number])  # type: ignore[misc]


def _attempt(name: str, root: Path, seed: list[int]) -> Outcome:
    started = time.monotonic()
    place = prepare(root)
    folder = place.root / "data/pictures"
    folder.mkdir()
    for file, content in mutated_pictures(np.random.default_rng(seed), IN_A_CASE):
        (folder / file).write_bytes(content)
    before = listing(place)
    ended = forked(lambda: _read(folder), **_options(place))
    told = _wrong(place, ended) + [f"written: {line}" for line in changes(before, listing(place))]
    outcomes = {"written": "outside", "read": "outside", "socket": "outside"}
    found = sorted({outcomes.get(line.split(": ")[0], line.split(": ")[0]) for line in told})
    facts = {"megabytes": round(ended.megabytes), "read": ended.output.strip()[-60:]}
    shutil.rmtree(root, ignore_errors=True)
    return Outcome("pictures", name, tuple(found) or ("held",), IN_A_CASE, tuple(told), _since(started), facts)


def _options(place: Place) -> dict:
    limits = {"limit_s": _LIMIT_S, "megabytes": MOST_MEGABYTES}
    return {"cwd": place.cwd, "variables": place.variables, "watch": watch} | limits


def _since(started: float) -> float:
    return time.monotonic() - started


def _wrong(place: Place, ended: Ended) -> list[str]:
    told = violations(place, ended.events, [place.root / "data"])
    if ended.limit:
        told.append("hung: ended after its time" if ended.limit == "time" else "crashed: ended for its memory")
    elif ended.status != 0:
        last = ended.output.strip().splitlines()[-1:] or ["without a word"]
        told.append(f"crashed: status {ended.status}, {last[0][:200]}".replace(str(place.root), "<place>"))
    return told


def _read(folder: Path) -> None:
    """Decode the folder as a run does, and read each picture as generate does; either may refuse any of them."""
    from vae_lightning.data.image_folder import ImageFolder
    from vae_lightning.errors import UserError

    logging.disable(logging.CRITICAL)
    data = ImageFolder(root=str(folder), **_OPTIONS)
    try:
        data.prepare_data()
        data.setup()
    except UserError:
        pass  # none can be read, or none fell into a split
    kept = 0
    for path, index in zip(sorted(folder.iterdir()), itertools.count(), strict=False):
        try:
            data.read_images([path], first_index=index)
            kept += 1
        except UserError as error:
            if "\n" in str(error):
                raise RuntimeError(f"more than a line: {error}") from error
    print(f"{kept} read")
