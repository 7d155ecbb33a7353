"""Starting commands as a user does, and looking at what they leave.

They start from a process that has the imports (tests/warm.py), unless a fresh one is asked for.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import torch

from tests import warm
from vae_lightning.runs.records import RunDir

TRAIN = [sys.executable, "-m", "vae_lightning.train"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "vae_lightning.train"]


def run_command(
    *arguments: str, cwd: Path, program: list[str] = TRAIN, fresh: bool = False, timeout: float = 300
) -> subprocess.CompletedProcess:
    """Run the command to its end, and return what it printed."""
    return warm.finish(started(*arguments, cwd=cwd, program=program, fresh=fresh), timeout)


def started(
    *arguments: str, cwd: Path, program: list[str] = TRAIN, fresh: bool = False
) -> warm.Warm | subprocess.Popen[str]:
    """The command as a shell starts it: in a process group of its own, which Ctrl-C reaches as a whole."""
    if not fresh and program[:2] == [sys.executable, "-m"] and warm.can_start(os.environ):
        return warm.Warm(*program[2:], *arguments, cwd=cwd)
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*program, *arguments], cwd=cwd, start_new_session=True, **pipes)


def wait_for(happened: Callable[[], object], within_s: float = 120) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.1)


def processes_of(folder: Path) -> dict[int, list[str]]:
    """The processes whose command line names the folder, by process id."""
    found: dict[int, list[str]] = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        if any(str(folder) in word for word in words):
            found[int(file.parent.name)] = words
    return found


def rank_of(pid: int) -> int:
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return next(int(variable[5:]) for variable in variables if variable.startswith("RANK="))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def ranks_of(run: RunDir) -> dict[int, int]:
    """The process ids of a run's ranks, by rank."""
    return {
        rank_of(pid): pid for pid, words in processes_of(run.path).items() if "vae_lightning.launch.children" in words
    }


def listening(pids: Iterable[int]) -> set[str]:
    """The sockets, by inode, on which any of these processes listens."""
    held: set[str] = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                held |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(file)))
    return held & all_listening()


def all_listening() -> set[str]:
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "0A"}


def weights(run: RunDir) -> dict[str, torch.Tensor]:
    return torch.load(run.last, weights_only=True)["state_dict"]


def assert_equal_weights(one: RunDir, other: RunDir) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def evaluate(run: RunDir, split: str = "test", checkpoint: Path | None = None) -> dict[str, float]:
    """The figures of a run's best checkpoint, or of another, evaluated by this one process."""
    from vae_lightning.training.run import build

    config = run.config() | {"callbacks": None, "logger": None}
    config["trainer"] |= {"devices": 1, "strategy": "auto"}
    parts = build(config, run)
    act = parts.trainer.test if split == "test" else parts.trainer.validate
    act(parts.module, parts.data, ckpt_path=checkpoint or run.best, weights_only=True, verbose=False)
    return {name: mean.value for name, mean in parts.module.results.items()}
