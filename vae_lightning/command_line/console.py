"""What a command tells at its end: one-line errors, and what a finished run leaves to look at."""

import os
import select
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vae_lightning.errors import UserError, one_line
from vae_lightning.launch.output import configure_logging
from vae_lightning.machine.interruption import exit_code
from vae_lightning.machine.terminal import print_no_more, start_of_line, wrapped
from vae_lightning.machine.world import given_world
from vae_lightning.runs.records import NATS, PROFILE, RunDir, typed, unit_of

_UNREAD = 141  # what a shell tells of a program that SIGPIPE has ended
_NAMES = 16  # columns of what stands before a figure or a place
_HARD_SPACE = "\x00"


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn a UserError into one line on stderr and exit code 1, Ctrl-C into exit code 130 and SIGTERM into 143.

    With HYDRA_FULL_ERROR=1 the traceback is shown instead.
    """
    configure_logging()
    try:
        with quiet_when_unread():
            yield
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(
            1 if given_world().rank else _for_stderr(f"error: {one_line(error)}")
        )  # every rank has it, one tells it
    except KeyboardInterrupt as interrupt:
        if not given_world().rank:
            told = ": ".join(["interrupted", *map(one_line, interrupt.args)])
            print(f"{start_of_line(sys.stderr)}{_for_stderr(told)}", file=sys.stderr)
        sys.exit(exit_code(interrupt))


@contextmanager
def quiet_when_unread() -> Iterator[None]:
    """End a command quietly that prints into a pipe which is read no further, as by `| head`: exit code 141.

    One that ends by an error or a signal ends by it, and what it has printed before is not told of either.
    """
    try:
        yield
        sys.stdout.flush()  # here, where it may fail
    except BrokenPipeError:
        if not _is_unread():
            raise
        print_no_more(sys.stdout)
        sys.exit(_UNREAD)
    except BaseException as end:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            print_no_more(sys.stdout)
            if isinstance(end, SystemExit) and not end.code:  # as Hydra's --help ends
                sys.exit(_UNREAD)
        raise


def _is_unread() -> bool:
    """Whether stdout is a pipe that nobody reads any more."""
    with suppress(OSError, ValueError):  # a stream of another kind, which has no number
        ends = select.poll()
        ends.register(sys.stdout.fileno(), 0)
        return bool(ends.poll(0))
    return False


def print_run(run_dir: RunDir, output_dir: str) -> None:
    """Tell where a finished run's figures and pictures are; `output_dir` holds all runs, but for one that was moved."""
    metrics = run_dir.metrics()
    lines = [("run directory", str(run_dir.path))]
    lines += [("" if number else "pictures", line) for number, line in enumerate(_pictures(run_dir.path))]
    if (run_dir.path / PROFILE).is_file():
        lines.append(("profile", f"{run_dir.path / PROFILE}"))
    for name in ("elbo", "rate", "distortion"):
        if f"test/{name}" not in metrics:  # of a code without noise
            continue
        value, stderr = metrics[f"test/{name}"], metrics.get(f"test/{name}_stderr")
        error = "" if stderr is None else f" +- {stderr:.2f}"
        unit = NATS if name == "rate" else unit_of(metrics["test/kind"])
        lines.append((f"test {name}", f"{value:,.2f}{error} {unit}"))
    lines.append(("", f"({metrics['test/kind']})"))
    if "test/elbo" not in metrics:
        is_best = metrics.get("val/loss") is not None  # else nothing was validated
        best = "; best.ckpt has the lowest validation loss" if is_best else ""
        lines.append(("", f"(no rate and no ELBO: the code has no noise{best})"))
    if "test/weights" in metrics:
        lines.append(("", f"({metrics['test/weights']})"))
    if "val/active_units" in metrics:  # which no run has that validates nothing
        lines.append(("active units", f"{metrics['val/active_units']} of {metrics['val/num_units']}"))
    if "test/codebook_use" in metrics:
        use, perplexity = metrics["test/codebook_use"], metrics["test/perplexity"]
        lines.append(("codebook use", f"{use:.1%}, perplexity {perplexity:,.1f}"))
    run = typed("run", run_dir.path)
    is_among_others = run_dir.path.resolve().is_relative_to(Path(output_dir).resolve())
    shown = output_dir if is_among_others else str(run_dir.path)
    commands = [
        ("TensorBoard", [*command("vae-tensorboard", "dashboard"), "--logdir", shlex.quote(shown)]),
        ("more pictures", [*command("vae-generate", "generate"), run, "mode=samples"]),
        ("more figures", [*command("vae-evaluate", "evaluate"), run]),
    ]
    print()
    for name, text in lines:
        print(_row(name, one_line(text).split(" ")))
    for name, words in commands:
        print(_row(name, list(map(one_line, words)), continued=" \\"))


def _row(name: str, words: list[str], continued: str = "") -> str:
    """A name and its text, in a terminal over as many lines as it takes to break no word: paths are there to be copied.

    Args:
        name: stands before the first of them.
        words: between which a line may end; one may have spaces in it.
        continued: what stands at the end of a line that goes on.
    """
    if not sys.stdout.isatty():
        return f"{name:<{_NAMES}}{' '.join(words)}"
    fits = not continued and max(map(len, words)) <= shutil.get_terminal_size().columns - _NAMES
    # No name has this character in it, and no line ends in it.
    text = f"{name:<{_NAMES}}{' '.join(word.replace(' ', _HARD_SPACE) for word in words)}"
    return wrapped(text, " " * (_NAMES if fits else 2), continued).replace(_HARD_SPACE, " ")


def _for_stderr(text: str) -> str:
    return wrapped(text) if sys.stderr.isatty() else text


def command(script: str, module: str) -> list[str]:
    """A command as it can be typed here: the virtual environment may not be active."""
    if shutil.which(script):
        return [script]
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return [str(shown), "-m", f"vae_lightning.{module}"]


def _pictures(path: Path) -> list[str]:
    """Where the pictures of a run directory lie, and of what kinds there are."""
    gif, folder = path / "training.gif", path / "images"
    kinds = ", ".join(sorted(kind.name for kind in folder.glob("*") if kind.name != "training"))
    lines = [str(gif)] if gif.is_file() else []
    return [*lines, f"{folder}/: {kinds}"] if kinds else lines
