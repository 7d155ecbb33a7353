"""The parts of the soak: how many cases each has, and what they are."""

from collections.abc import Callable, Iterable
from pathlib import Path

from soak.archives import hostile_archives
from soak.attacks import attempts
from soak.checkpoints import hostile_checkpoints
from soak.configs import hostile_configs
from soak.directories import hostile_directories
from soak.kills import kill_cases
from soak.pictures import picture_cases
from soak.planted import planted_cases
from soak.records import Outcome
from soak.specimens import Specimens

Cases = Iterable[tuple[str, Callable[[], Outcome]]]
# How many things are tried in each part when it runs in full.
FULL = {
    "planted": 1000,
    "configs": 300,
    "checkpoints": 100,
    "archives": 90,
    "directories": 150,
    "pictures": 10_000,
    "kills": 1000,
}
# As few as take half a minute of processor time together: what the tests run.
SMALL = {"planted": 1000, "configs": 1, "checkpoints": 1, "archives": 1, "directories": 1, "pictures": 20, "kills": 1}


def cases(part: str, specimens: Specimens, place: Path, seed: int, count: int) -> Cases:
    """The cases of a part, each with its name, in an order that the seed and nothing else determines.

    Args:
        part: its name.
        specimens: what is attacked.
        place: a folder for one case at a time.
        seed: of all that is drawn.
        count: how many things are to be tried.
    """
    if part == "kills":
        return kill_cases(specimens, place, seed, count)
    if part == "planted":
        return planted_cases(specimens, place)
    if part == "pictures":
        return picture_cases(place, seed, count)
    if part == "archives":
        return attempts(part, hostile_archives(specimens.root / "archives", seed, count), place)
    makers = {
        "configs": hostile_configs,
        "checkpoints": hostile_checkpoints,
        "directories": hostile_directories,
    }
    return attempts(part, makers[part](specimens, seed, count), place)
