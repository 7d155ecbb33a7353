"""Kills of whole commands in fresh processes, by the clock, by the files that have appeared, or by strace at a call."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from soak.comparing import differences
from soak.strace import Strace
from soak.variants import Variant

_LIMIT_S = 300.0
_POLL_S = 0.02
_MOST_KILLS = 3  # of a command
_MOST_FILES = 20  # of the 23 that such a run leaves
# System calls of such a run, and about how many of each there are.
_CALLS = (("write", 200), ("rename,renameat,renameat2", 32), ("fsync", 24))
Finish = Callable[[Variant, Path, Path], list[str]]


def killed_commands(
    variant: Variant, root: Path, reference: Path, draw: random.Random, finish: Finish
) -> tuple[list[str], int]:
    """Kill `python -m vae_lightning.train ...` several times, go on to the end, and compare.

    Returns:
        what is wrong, and how many kills there were.
    """
    kills = 0
    for number in range(draw.randint(1, _MOST_KILLS)):
        arguments = _sweep_arguments(variant, root) if variant.jobs else _run_arguments(variant, root)
        # What is gone on with has less to go: later kills come sooner.
        ended = _killed(arguments, root, draw, variant.jobs, share=0.9 if number == 0 else 0.4)
        if ended == "hung":
            return ["hung: a whole command"], kills
        if ended == "ended":
            break
        kills += 1
    if not variant.jobs:
        run = root / "run"
        return [*finish(variant, run, root), *differences(run, reference)], kills
    return [*_finished_sweep(variant, root), *_sweep_differences(variant, root, reference)], kills


def _run_arguments(variant: Variant, root: Path) -> list[str]:
    if (root / "run/checkpoints/last.ckpt").is_file():
        return [f"resume={root / 'run'}"]
    shutil.rmtree(root / "run", ignore_errors=True)
    return [*variant.arguments, f"run_dir={root / 'run'}"]


def _sweep_arguments(variant: Variant, root: Path) -> list[str]:
    seeds = ",".join(map(str, range(variant.jobs)))
    begun = (root / "sweep/multirun.yaml").is_file()
    if not begun:
        shutil.rmtree(root / "sweep", ignore_errors=True)
    return ["-m", *variant.arguments, f"seed={seeds}", f"{'sweep' if begun else 'sweep_dir'}={root / 'sweep'}"]


def _killed(arguments: list[str], root: Path, draw: random.Random, jobs: int, share: float) -> str:
    """Start the command and kill all of its processes at a moment: `killed`, `ended` before it, or `hung`.

    Args:
        arguments: of the train command.
        root: the folder of the case.
        draw: decides the moment.
        jobs: of a sweep; its children have system calls of their own, so that only files tell of its moments.
        share: of a whole run, that the moment is drawn from.
    """
    command = [sys.executable, "-m", "vae_lightning.train", *arguments]
    if jobs == 0 and Strace.is_here() and draw.random() < 0.5:
        calls, most = draw.choice(_CALLS)
        inject = f"inject={calls}:signal=KILL:when={draw.randint(1, round(share * most))}"
        quiet = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", os.devnull]
        return _ended([*quiet, "-e", f"trace={calls}", "-e", inject, *command], root, None, draw)
    return _ended(command, root, draw.randint(1, round(share * _MOST_FILES * max(jobs, 1))), draw)


def _ended(command: list[str], root: Path, files: int | None, draw: random.Random) -> str:
    process = subprocess.Popen(
        command,
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    deadline, before, outcome = time.monotonic() + _LIMIT_S, _count(root), "ended"
    while process.poll() is None:
        if time.monotonic() > deadline:
            outcome = "hung"
        elif files is not None and _count(root) >= before + files:
            time.sleep(draw.uniform(0, 0.1))
            outcome = "killed" if process.poll() is None else "ended"
        if outcome != "ended":
            break
        time.sleep(_POLL_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    _end_all_in(root)
    return "killed" if status in (-signal.SIGKILL, 128 + signal.SIGKILL) and outcome == "ended" else outcome


def _end_all_in(root: Path) -> None:
    """Kill the processes that the command had started in sessions of their own, as the end of a machine does."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = file.read_bytes().decode(errors="replace").split("\0")
            if "vae_lightning.launch.children" in words and any(word.startswith(str(root)) for word in words):
                os.kill(int(file.parent.name), signal.SIGKILL)


def _count(root: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(root))


def _finished_sweep(variant: Variant, root: Path) -> list[str]:
    arguments = _sweep_arguments(variant, root)
    command = [sys.executable, "-m", "vae_lightning.train", *arguments]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=_LIMIT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        _end_all_in(root)
        return ["hung: going on with a sweep"]
    last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
    return [f"refused: a sweep's going on, {last}"] if done.returncode else []


def _sweep_differences(variant: Variant, root: Path, reference: Path) -> list[str]:
    return [
        f"job {job}: {line}"
        for job in range(variant.jobs)
        for line in differences(root / "sweep" / str(job), reference / str(job))
    ]
