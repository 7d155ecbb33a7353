"""A place for one case, with canaries around the run directory, and what has become of them."""

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

SECRET = "canary-secret-5d41"  # in the environment and in a file; no command may tell it
_MOST_HASHED = 50_000_000


@dataclass(frozen=True)
class Place:
    """Where a case happens: everything of it lies below `root`.

    Attributes:
        root: holds run/ (the run directory), outside/ (that nobody may touch), cwd/, home/, cache/ and tmp/.
    """

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def outside(self) -> Path:
        """Of another owner: files, folders and pictures that no case has anything to do with."""
        return self.root / "outside"

    @property
    def cwd(self) -> Path:
        return self.root / "cwd"

    @property
    def marker(self) -> Path:
        """What a payload makes where it is executed."""
        return self.root / "EXECUTED"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a case."""
        folders = {"HOME": "home", "XDG_CACHE_HOME": "cache", "TMPDIR": "tmp", "VAE_LIGHTNING_DATA": "data"}
        places = {name: str(self.root / folder) for name, folder in folders.items()}
        return places | {"CANARY_SECRET": SECRET, "XDG_CONFIG_HOME": str(self.root / "home"), "OMP_NUM_THREADS": "1"}

    @property
    def writable(self) -> tuple[Path, ...]:
        """Where a command may write: its run, or the folder of new ones, its cache of data and its temporary files."""
        return self.run, self.root / "new", self.root / "cache/vae_lightning", self.root / "tmp"


def prepare(root: Path, run: Path | None = None) -> Place:
    """A fresh place, with a copy of a run."""
    shutil.rmtree(root, ignore_errors=True)
    place = Place(root)
    for folder in ("cwd", "home", "cache", "tmp", "data", "outside/folder/deep", "outside/images/training"):
        (root / folder).mkdir(parents=True)
    (place.outside / "secret.txt").write_text(f"{SECRET}\n")
    (place.outside / "folder/deep/file.bin").write_bytes(bytes(range(256)))
    (place.outside / "images/training/epoch_0007.png").write_bytes(b"somebody else's")
    (place.outside / "train.log").write_text("somebody else's\n")
    (place.root / "home/.profile").write_text("# somebody's\n")
    (place.cwd / "canary_module.py").write_text(_module(place.marker))
    if run is not None:
        shutil.copytree(run, place.run, symlinks=True)
    return place


def _module(marker: Path) -> str:
    return (
        f"open({str(marker)!r}, 'w').close()\n"
        f"def touch(*arguments, **options):\n    open({str(marker)!r}, 'a').close()\n"
        "class Touch:\n    __init__ = touch\n"
    )


Listing = dict[str, tuple[object, ...]]


def listing(place: Place) -> Listing:
    """All that lies in a place outside of what may be written: kind, mode, size, time of change and content of each."""
    kept: Listing = {}
    for folder, names, files in os.walk(place.root):
        here = Path(folder)
        names[:] = [name for name in names if here / name not in place.writable or (here / name).is_symlink()]
        for path in [*(here / name for name in names), *(here / name for name in files)]:
            if path != place.run or path.is_symlink():
                kept[str(path.relative_to(place.root))] = _facts(path)
    return kept


def _facts(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    facts: tuple[object, ...] = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode))
    if path.is_symlink():
        return (*facts, os.readlink(path))
    if stat.S_ISREG(status.st_mode) and status.st_size < _MOST_HASHED:
        return (*facts, status.st_size, status.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
    return facts


def changes(before: Listing, after: Listing) -> list[str]:
    """What has come, gone or changed, in words."""
    come = [f"written: {name}" for name in after.keys() - before.keys()]
    gone = [f"deleted: {name}" for name in before.keys() - after.keys()]
    other = [f"changed: {name}" for name in before.keys() & after.keys() if before[name] != after[name]]
    return sorted(come + gone + other)
