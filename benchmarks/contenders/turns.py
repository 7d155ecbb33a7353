"""Contenders take turns, an epoch each, so that the machine's moods hit all of them alike."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

_MARK = "turn: "


class Turns:
    """A contender's side: its epochs begin when it is told to on stdin, and their speeds go to stdout."""

    def begin(self) -> None:
        """Wait for the turn.

        Raises:
            SystemExit: nobody is there to give it, as after another contender's failure.
        """
        print(f"\n{_MARK}ready", flush=True)  # on a line of its own, whatever a progress bar has left
        if not sys.stdin.readline():
            sys.exit("nobody gives turns any more")
        self._started = time.perf_counter()

    def end(self, num_images: int) -> None:
        """The epoch of so many images is over; the turn lasts until the next one is to begin."""
        print(f"\n{_MARK}{num_images / (time.perf_counter() - self._started)}", flush=True)


class Contender:
    """The other side: a process that trains one case at one precision, epoch by epoch."""

    def __init__(self, module: str, case: str, batch_size: int, num_epochs: int, precision: str):
        self.name = f"{module} {case} {batch_size} {precision}"
        command = [sys.executable, "-m", "benchmarks.contenders", module, case, str(batch_size), str(num_epochs)]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - a pipe that nobody reads would fill up
        self._process = subprocess.Popen(
            [*command, precision],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def first_epoch(self) -> None:
        """Wait for it to be ready, and let it train an epoch that is not measured."""
        self._next()
        self.epoch()

    def epoch(self) -> float:
        """Images per second of the next epoch; comes back when the one after it could begin."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        rate = float(self._next())
        self._next()
        return rate

    def _next(self) -> str:
        for line in self._process.stdout:
            if line.startswith(_MARK):
                return line.removeprefix(_MARK).strip()
        if self._process.wait():
            self._errors.seek(0)
            sys.exit(f"{self.name} failed:\n{self._errors.read()}")
        return "finished"
