"""What came of each case, a line of JSON each, in a file that is only ever added to."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LOG = REPOSITORY / "soak/record.jsonl"
OUTCOMES = ("held", "lost", "executed", "outside", "hung", "crashed")
_CODE = ("vae_lightning", "conf")


@dataclass(frozen=True)
class Outcome:
    """What came of one case.

    Attributes:
        part: kills, pictures, ...
        case: its name in the part; with the seed it can be repeated alone.
        outcomes: `held`, or what went wrong: lost (a killed run is not what it would have been), executed, outside
            (touched or read outside of the run), hung, crashed (a traceback, a signal, or too much memory).
        tried: how many things were tried in it: kills, pictures.
        details: of what went wrong, without places of this machine.
        seconds: of the clock.
    """

    part: str
    case: str
    outcomes: tuple[str, ...]
    tried: int = 1
    details: tuple[str, ...] = ()
    seconds: float = 0.0
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        return self.outcomes == ("held",)


@dataclass(frozen=True)
class Log:
    """A file of outcomes, that several processes may add to."""

    file: Path
    seed: int

    def add(self, outcome: Outcome) -> None:
        kept = {name: value for name, value in asdict(outcome).items() if value or name in ("part", "case", "tried")}
        if outcome.held:  # of what held, its name tells enough to repeat it
            kept.pop("facts", None)
        kept |= {"seconds": round(outcome.seconds, 2), "seed": self.seed, "code": code_version()}
        kept |= {"commit": commit(), "date": today(), "machine": machine()}
        with self.file.open("a") as stream:
            stream.write(json.dumps(kept) + "\n")

    def entries(self) -> Iterator[dict]:
        if self.file.is_file():
            for line in self.file.read_text().splitlines():
                yield json.loads(line)

    def done(self, part: str) -> dict[str, int]:
        """The cases of a part that this code has been tried with, and how many things were tried in each."""
        mine = {"part": part, "seed": self.seed, "code": code_version()}
        return {entry["case"]: entry["tried"] for entry in self.entries() if mine.items() <= entry.items()}


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


_VERSIONS: dict[str, str] = {}


def code_version() -> str:
    """What is attacked: the hashes that git has of the package and its configs, `+` where they were changed since."""
    if "code" not in _VERSIONS:
        hashes = [_git("rev-parse", "--short=9", f"HEAD:{name}") for name in _CODE]
        changed = _git("status", "--porcelain", *_CODE)
        _VERSIONS["code"] = "-".join(hashes) + ("+" if changed else "")
    return _VERSIONS["code"]


def commit() -> str:
    """The last one that has changed what is attacked."""
    return _VERSIONS.setdefault("commit", _git("log", "-1", "--abbrev=9", "--format=%h", "--", *_CODE))


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", REPOSITORY, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine() -> str:
    """In general words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} CPU cores, {memory:.0f} GiB of memory, {os.uname().sysname}"
