"""The bar at the bottom of a terminal: one line that fits its width, drawn anew a few times a second."""

import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar as RichBar
from rich.text import Text

from vae_lightning.disk.unwritten import spared
from vae_lightning.errors import one_line
from vae_lightning.machine.terminal import stand_at_bottom

_TIMES_A_SECOND = 4
_ROOM = 3  # columns left free for the `^C` that a terminal shows, which would begin a line that is never cleared
_SHORTEST, _LONGEST = 6, 40  # columns of the bar itself
_GAP = 2
AND_PICTURES = " + pictures"  # after the last epoch, of which nobody knows how long they take


@dataclass
class Shown:
    """What the bar shows: what training knows writes it, and what draws reads it, at another time.

    Attributes:
        task: what is under way: epoch 3/20, testing.
        done, total: batches of it; a total of 0 shows no bar.
        doing: what interrupts it: drawing tsne.
        since: when that began, as `time.monotonic` tells.
        figures: by name, with what they are shown as: loss 101.2, 18,200 img/s.
        epoch_ends, run_ends: when, as far as is known.
        and_pictures: whether the run goes on after that, for pictures.
    """

    task: str = "starting"
    done: int = 0
    total: int = 0
    doing: str = ""
    since: float = 0.0
    figures: dict[str, str] = field(default_factory=dict)
    epoch_ends: float | None = None
    run_ends: float | None = None
    and_pictures: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(options.max_width - _ROOM, 1)
        task, share = one_line(self.task)[:room], self._share()
        yield Text(task, style="bold", end="")
        room -= len(task) + len(share)
        parts = self._fitting(room - (_SHORTEST + 1 if share else 0))
        room -= sum(len(text) + _GAP for text, _ in parts)
        if share and room > _SHORTEST:
            yield Text(" ", end="")
            yield RichBar(self.total, min(self.done, self.total), width=min(room - 1, _LONGEST))
            yield Text(share, end="")
        for text, style in parts:
            yield Text(" " * _GAP, end="")
            yield Text(text, style=style, end="")

    def _share(self) -> str:
        return f" {min(100 * self.done // self.total, 100):>3}%" if self.total else ""

    def _fitting(self, room: int) -> list[tuple[str, str]]:
        """Texts in the order that they stand in, with their styles: as many of the most important ones as fit."""
        now = time.monotonic()
        left = self._left(now, AND_PICTURES)
        doing = f"{one_line(self.doing)} {clock(now - self.since)}" if self.doing else ""
        texts = {
            "doing": (doing, "yellow"),
            "loss": (self.figures.get("loss", ""), ""),
            "elbo": (self.figures.get("elbo", ""), ""),
            "img/s": (self.figures.get("img/s", ""), "cyan"),
            "left": (left, "green"),
        }
        fitting = set()
        for name in ("doing", "img/s", "left", "loss", "elbo"):
            if name == "left" and len(left) + _GAP > room:
                texts[name] = (self._left(now, "+"), "green")
            length = len(texts[name][0]) + _GAP
            if length > _GAP and length <= room:
                room -= length
                fitting.add(name)
        return [text for name, text in texts.items() if name in fitting]

    def _left(self, now: float, and_more: str) -> str:
        """The time left of the epoch, and of the run behind it; what stands there for pictures."""
        epoch = "" if self.epoch_ends is None else f"{clock(self.epoch_ends - now)}"
        run = (
            "" if self.run_ends is None else f"run {clock(self.run_ends - now)}{and_more if self.and_pictures else ''}"
        )
        return f"left: {', '.join(filter(None, [epoch and f'epoch {epoch}', run]))}" if epoch or run else ""


class Bar:
    """Stands at the bottom of the terminal from `start` to `stop`; what is printed meanwhile comes above it."""

    def __init__(self, shown: Shown):
        self._console = Console(file=sys.stdout, force_terminal=True)
        self._live = Live(shown, console=self._console, refresh_per_second=_TIMES_A_SECOND, transient=True)

    def start(self) -> None:
        """Draw the bar from here on."""
        _standing.streams = sys.stdout, sys.stderr
        self._live.start(refresh=True)
        self._console.show_cursor(True)  # rich hides it, and a process that is killed would leave it hidden
        stand_at_bottom(self._write_above)

    def stop(self) -> None:
        """Take the bar away; the next line begins where it stood. Does nothing where it has gone."""
        if not self._live.is_started:
            return
        stand_at_bottom(None)
        _standing.streams = None
        with spared("the terminal"):
            self._live.stop()

    def _write_above(self, text: str) -> None:
        # Wrapped by the terminal itself: a path is copied as one word then.
        self._console.print(Text(text), soft_wrap=True)


def clock(seconds: float) -> str:
    """A duration as a clock shows it: 0:04, 1:12, 2:03:59."""
    minutes, seconds = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class _Standing:
    """stdout and stderr as they are without the bar, while it stands."""

    streams: tuple[Any, Any] | None = None


_standing = _Standing()


def _forget_in_child() -> None:
    """A fork, such as one that decodes pictures, has no bar, and may have copied a lock that nobody gives back."""
    if _standing.streams is not None:
        sys.stdout, sys.stderr = _standing.streams
        _standing.streams = None
        stand_at_bottom(None)


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_forget_in_child)
