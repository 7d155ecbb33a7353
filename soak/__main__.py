"""The soak: python -m soak [part ...] [--budget minutes] [--seed N] [--case NAME] [--jobs N] [--log FILE].

`python -m soak report` writes the table of docs/reliability.md from the log. It may run in several goes: what the log
has of this code is not tried again.
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from soak.records import LOG, Log, Outcome

_PARTS = ("planted", "configs", "checkpoints", "archives", "directories", "pictures", "kills")


def main() -> None:
    """Run the parts that the command line names, and add what came of them to the log."""
    options = _options()
    if options.parts == ["report"]:
        from soak.table import write_table

        write_table(options.log)
        return
    from soak.specimens import made
    from soak.warm import warm

    warm(learning=not options.small)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    root = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        specimens = made(root / "specimens")
        workers = [_started(options, specimens, root, number) for number in range(options.jobs)]
        try:
            statuses = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
        except BaseException:
            _end(workers)
            raise
    finally:
        shutil.rmtree(root, ignore_errors=True)
    sys.stdout.flush()
    os._exit(max(statuses))  # taking apart what was imported would take seconds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(_PARTS), help="report, or some of " + ", ".join(_PARTS))
    parser.add_argument("--budget", type=float, default=60, help="minutes, of which each part has its share")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", help="only cases whose name has this in it, whatever the log says")
    parser.add_argument("--count", type=int, help="how many things to try in a part, in place of the full number")
    parser.add_argument("--small", action="store_true", help="the few of each part that the tests run")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--log", type=Path, default=LOG)
    options = parser.parse_args()
    unknown = set(options.parts) - {*_PARTS, "report"}
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such part; valid here: {', '.join(_PARTS)}")
    return options


def _end(workers: list[int]) -> None:
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGTERM)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(worker, 0)


def _started(options: argparse.Namespace, specimens: object, root: Path, number: int) -> int:
    worker = os.fork()
    if worker:
        return worker
    status = 1
    try:
        status = _worked(options, specimens, root / f"worker-{number}", number)
    except (KeyboardInterrupt, SystemExit):
        status = 130
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _worked(options: argparse.Namespace, specimens: object, place: Path, number: int) -> int:
    """Run this worker's cases of each part; 1 where something did not hold."""
    deadline, bad = time.monotonic() + 60 * options.budget, 0
    for index, part in enumerate(options.parts):
        share = (deadline - time.monotonic()) / (len(options.parts) - index)
        bad += _part(options, specimens, place / "place", part, number, time.monotonic() + share)
    return 1 if bad else 0


def _part(options: argparse.Namespace, specimens: object, place: Path, part: str, number: int, deadline: float) -> int:
    from soak.parts import FULL, SMALL, cases

    log, bad = Log(options.log, options.seed), 0
    wanted = options.count or (SMALL if options.small else FULL)[part]
    known = {} if options.case else log.done(part)
    for index, (name, attempt) in enumerate(cases(part, specimens, place, options.seed, wanted)):  # type: ignore[arg-type]
        if options.case and options.case not in name:
            continue
        if name in known or (index % options.jobs != number and not options.case):
            continue
        if time.monotonic() > deadline or (part == "kills" and sum(log.done(part).values()) >= wanted):
            break
        outcome = attempt()
        log.add(outcome)
        _tell(outcome)
        bad += not outcome.held
    return bad


def _tell(outcome: Outcome) -> None:
    print(f"{outcome.part} {outcome.case}: {', '.join(outcome.outcomes)} ({outcome.seconds:.1f} s)", flush=True)
    for line in outcome.details:
        print(f"    {line}", flush=True)


if __name__ == "__main__":
    main()
