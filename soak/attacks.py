"""One case of a hostile file: put into a run directory, opened by the commands, watched."""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from soak import commands
from soak.canary import SECRET, Listing, Place, changes, listing, prepare
from soak.forks import Ended, forked
from soak.records import Outcome
from soak.strace import Strace
from soak.watch import violations, watch

LIMIT_S = 90.0  # of one command; it takes one second on an idle core
MOST_MEGABYTES = 3000.0
ALL = ("report", "evaluate", "generate", "resume")  # resuming last: it writes checkpoints of its own


@dataclass(frozen=True)
class Attack:
    """What a stranger may have put where.

    Attributes:
        name: unique in its part.
        damage: puts it there.
        run: whose copy is attacked.
        commands: that open it: resume, evaluate, generate, report; the arguments of a training, with `{root}` for
            the place; or a function of the place.
        readable: folders whose pictures may be read.
        names_outside: whether the outside is what it gives for the folder or archive of its pictures.
        limit_s: after so many seconds a command counts as hung.
        megabytes: with more than so many it counts as crashed.
    """

    name: str
    damage: Callable[[Place], None]
    run: Path | None = None
    commands: tuple[str | Callable[[Place], object], ...] = ALL
    readable: tuple[Path, ...] = ()
    names_outside: bool = False
    limit_s: float = LIMIT_S
    megabytes: float = MOST_MEGABYTES


def opened_by(command: str | Callable[[Place], object], place: Place) -> None:
    """Call a command on the run of a place as a user would, in a folder that holds modules of one's own."""
    run = place.run
    sys.path.insert(0, str(place.cwd))  # as `python -m` has it
    if callable(command):
        command(place)
    elif command == "resume":
        commands.train(f"resume={run}", "trainer.max_epochs=3")
    elif command == "evaluate":
        commands.evaluate(f"run={run}", "metrics=[elbo]", "device=cpu")
    elif command == "generate":
        commands.generate(f"run={run}", "mode=samples", "num_images=2", "device=cpu", "overwrite=true")
    elif command == "report":
        commands.report(f"runs=[{run}]", f"output={run}/report")
    else:
        commands.train(*command.format(root=place.root).split())


def attempt(part: str, attack: Attack, root: Path, *, traced: bool = False) -> Outcome:
    """Prepare the place, call each command in a fork, and tell what was touched.

    Args:
        part: what the case is of.
        attack: the case.
        root: of its place.
        traced: whether strace looks on too, where there is one: it sees what native code does.
    """
    started = time.monotonic()
    place = prepare(root, attack.run)
    attack.damage(place)
    readable = (*attack.readable, place.root / "data", *([place.outside] if attack.names_outside else []))
    found: dict[str, None] = {}
    ends: list[str] = []
    for command in attack.commands:
        before = listing(place)
        strace = Strace(place.root.with_suffix(".strace")) if traced else None
        ended = forked(
            lambda command=command: opened_by(command, place),  # type: ignore[misc]
            cwd=place.cwd,
            limit_s=attack.limit_s,
            variables=place.variables,
            watch=watch,
            megabytes=attack.megabytes,
            beside=strace,
        )
        events = ended.events + (strace.events() if strace else [])
        told = _wrong(place, ended, before, violations(place, events, readable))
        found |= dict.fromkeys(f"{name_of(command)}: {line}" for line in told)
        ends.append(f"{name_of(command)} {ended.status}")
    return _outcome(part, attack.name, tuple(found), ", ".join(ends), time.monotonic() - started)


def name_of(command: str | Callable[[Place], object]) -> str:
    return "call" if callable(command) else command if command in ALL else "train"


def _wrong(place: Place, ended: Ended, before: Listing, violated: list[str]) -> list[str]:
    told = list(violated)
    told += [f"written: {line}" for line in changes(before, listing(place))]
    if place.marker.exists():
        told.append("executed: the payload's marker is there")
        place.marker.unlink()
    if SECRET in ended.output:
        told.append("read: a secret was printed")
    if ended.limit:
        told.append("hung: ended after its time" if ended.limit == "time" else "crashed: ended for its memory")
    if ended.has_crashed:
        told.append(f"crashed: {_last_line(place, ended)}")
    return told


def _last_line(place: Place, ended: Ended) -> str:
    lines = [line for line in ended.output.splitlines() if line.strip()]
    last = lines[-1] if lines else "without a word"
    return f"status {ended.status}, {last}".replace(str(place.root), "<place>")[:300]


def _outcome(part: str, case: str, details: tuple[str, ...], ends: str, seconds: float) -> Outcome:
    kinds = {"executed": "executed", "socket": "outside", "read": "outside", "written": "outside"}
    kinds |= {"hung": "hung", "crashed": "crashed"}
    found = sorted({kinds[detail.split(": ")[1]] for detail in details})
    return Outcome(part, case, tuple(found) or ("held",), 1, details[:12], seconds, {"ends": ends})


def attempts(
    part: str, attacks: Iterable[Attack], root: Path, every_traced: int = 10
) -> Iterable[tuple[str, Callable[[], Outcome]]]:
    """The cases of a part, by name; strace looks on at some of them."""
    for number, attack in enumerate(attacks):
        traced = number % every_traced == 0 and Strace.is_here()
        yield attack.name, lambda attack=attack, traced=traced: attempt(part, attack, root, traced=traced)  # type: ignore[misc]
