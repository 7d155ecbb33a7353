"""Runs that are killed, gone on with, killed again, and compared with the same run left alone."""

import itertools
import os
import random
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from soak import commands
from soak.comparing import differences
from soak.forks import Ended, forked
from soak.moments import Operations
from soak.records import Outcome
from soak.specimens import Specimens
from soak.variants import VARIANTS, Variant
from soak.whole import killed_commands

_LIMIT_S = 240.0  # of a command that takes two seconds on an idle core
_MOST_KILLS = 5  # of a run


@dataclass(frozen=True)
class Reference:
    """A run left alone: where it lies, how many operations it took, and how long."""

    run: Path
    operations: int
    seconds: float


@dataclass(frozen=True)
class Moment:
    """When a run is to be killed: after a time, or before an operation on a file, of one of its ranks."""

    after_s: float | None = None
    operation: int | None = None
    torn: bool = False
    rank: int = 0


def kill_cases(specimens: Specimens, place: Path, seed: int, count: int) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """Cases of up to five kills each, as many as kills are wanted: whoever asks for them counts the kills."""
    names = [name for name, variant in VARIANTS.items() for _ in range(variant.weight)]
    random.Random(f"{seed}/variants").shuffle(names)
    references = References(specimens, place.parent / f"references-{place.name}")
    for number, name in enumerate(itertools.islice(itertools.cycle(names), 2 * count)):
        case = f"{number:04} {name}"
        yield case, lambda case=case, name=name: _attempt(case, name, seed, references, place)  # type: ignore[misc]


class _UntrainableError(Exception):
    """A run that is left alone does not come to its end."""


class References:
    """The runs left alone, each made when it is first asked for."""

    def __init__(self, specimens: Specimens, root: Path):
        self.specimens = specimens
        self.root = root
        self._made: dict[str, Reference] = {}

    def __getitem__(self, name: str) -> Reference:
        if name not in self._made:
            self._made[name] = self._trained(name)
        return self._made[name]

    def _trained(self, name: str) -> Reference:
        variant, place = VARIANTS[name], self.root / re.sub(r"\W+", "_", name)
        place.mkdir(parents=True, exist_ok=True)
        seconds, operations = 0.0, 0
        for job in range(max(variant.jobs, 1)):
            run = place / (str(job) if variant.jobs else "run")
            arguments = variant.typed(place, self.specimens.pictures)
            seeds = (f"seed={job}",) if variant.jobs else ()
            ended = _called(variant, place, (*arguments, *seeds, f"run_dir={run}"), Moment())
            if not (run / "metrics.json").is_file():
                raise _UntrainableError(f"crashed: does not train at all, {_told(ended)}")
            seconds = max(seconds, ended.seconds)
            operations = int((place / "operations").read_text())
        return Reference(place if variant.jobs else place / "run", operations, seconds)


def _called(variant: Variant, place: Path, arguments: tuple[str, ...], moment: Moment) -> Ended:
    """Train in a fork, or in two that are ranks, up to the moment or to the end."""
    variables = {"XDG_CACHE_HOME": str(place / "cache"), "OMP_NUM_THREADS": "1"}

    def call() -> None:
        if variant.ranks == 1:
            _trained(place, arguments, moment, rank=0)
        else:
            _in_two_ranks(place, arguments, moment)

    return forked(call, cwd=place, limit_s=_LIMIT_S, variables=variables, kill_after_s=moment.after_s)


def _trained(place: Path, arguments: tuple[str, ...], moment: Moment, rank: int) -> None:
    operations = Operations(place, moment.operation if rank == moment.rank else None, moment.torn)
    operations.watch()
    counted = operations.count
    try:
        commands.train(*arguments)
    finally:
        counted = operations.count
        operations.fatal = None
        if rank == 0:
            (place / "operations").write_text(str(counted))


def _in_two_ranks(place: Path, arguments: tuple[str, ...], moment: Moment) -> None:
    """Be rank zero of two, as torchrun would have started them; when the other is killed, so is this one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": str(port)}
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
    other = os.fork()
    rank = 0 if other else 1
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    try:
        _trained(place, arguments, moment, rank)
    except BaseException:
        if not other:
            os._exit(1)
        raise
    finally:
        if other:
            _, status = os.waitpid(other, 0)
            if os.WIFSIGNALED(status):
                os.kill(os.getpid(), os.WTERMSIG(status))
    if not other:
        os._exit(0)


def _attempt(case: str, name: str, seed: int, references: References, root: Path) -> Outcome:
    started = time.monotonic()
    try:
        variant, reference = VARIANTS[name], references[name]
    except _UntrainableError as error:
        return Outcome("kills", case, ("crashed",), 0, (str(error),), time.monotonic() - started)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    draw = random.Random(f"{seed}/kills/{case}")
    if variant.whole:
        told, kills = killed_commands(variant, root, reference.run, draw, _finish)
    else:
        told, kills = _killed(variant, references.specimens.pictures, root, reference, draw)
    outcomes = {"hung": "hung", "crashed": "crashed"}
    found = sorted({outcomes.get(line.split(": ")[0], "lost") for line in told})
    facts = {"left": _left_behind(root)}
    details = tuple(line.replace(str(root), "<place>")[:300] for line in told[:12])
    return Outcome("kills", case, tuple(found) or ("held",), kills, details, time.monotonic() - started, facts)


def _killed(
    variant: Variant, pictures: Path, root: Path, reference: Reference, draw: random.Random
) -> tuple[list[str], int]:
    """Kill one run several times and compare; what is wrong, and how many kills there were."""
    run, kills = root / "run", 0
    for _ in range(draw.randint(1, _MOST_KILLS)):
        ended = _called(variant, root, _way_on(variant, run, pictures), _moment(variant, reference, draw))
        if ended.limit:
            return [f"hung: {_told(ended)}"], kills
        if not ended.was_killed:  # it came to its end before that moment
            break
        kills += 1
    return [*_finish(variant, run, pictures), *differences(run, reference.run)], kills


def _moment(variant: Variant, reference: Reference, draw: random.Random) -> Moment:
    if draw.random() < 0.35:
        return Moment(after_s=draw.uniform(0, reference.seconds))
    operation, torn = draw.randint(1, reference.operations), draw.random() < 0.5
    return Moment(operation=operation, torn=torn, rank=draw.randrange(variant.ranks) if draw.random() < 0.3 else 0)


def _way_on(variant: Variant, run: Path, pictures: Path) -> tuple[str, ...]:
    """What a user types next: resume where there is a checkpoint, and start anew where there is none."""
    if (run / "checkpoints/last.ckpt").is_file():
        return (f"resume={run}",)
    shutil.rmtree(run, ignore_errors=True)
    return (*variant.typed(run.parent, pictures), f"run_dir={run}")


def _finish(variant: Variant, run: Path, pictures: Path) -> list[str]:
    """Go on with a run to its end; what is wrong."""
    ended = _called(variant, run.parent, _way_on(variant, run, pictures), Moment())
    if ended.limit:
        return [f"hung: {_told(ended)}"]
    if ended.has_crashed:
        return [f"crashed: {_told(ended)}"]
    has_ended_before = "has trained" in ended.output and (run / "metrics.json").is_file()
    return [f"refused: {_told(ended)}"] if ended.status != 0 and not has_ended_before else []


def _told(ended: Ended) -> str:
    lines = [line for line in ended.output.splitlines() if line.strip()]
    return f"status {ended.status} after {ended.seconds:.0f} s, {lines[-1] if lines else 'without a word'}"


def _left_behind(root: Path) -> list[str]:
    """Temporary files that kills have left and nobody has cleared."""
    names = [
        str(path.relative_to(root)) for path in root.rglob("*") if path.name.startswith(".") or ".part" in path.name
    ]
    return sorted(name for name in names if ".lock" not in name)[:5]
