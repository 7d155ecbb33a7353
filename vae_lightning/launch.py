"""How a run's processes start: in this process, or as fresh ones for the ranks of DDP and the jobs of a sweep.

`python -m vae_lightning.launch <run directory>` trains a prepared run directory; it is what the fresh processes run.
"""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_lightning.errors import UserError
from vae_lightning.hardware import num_cpus
from vae_lightning.run_dir import RunDir, reserved

if TYPE_CHECKING:
    from vae_lightning.training import Parts


def start(config: dict[str, Any], overrides: list[str], path: Path, *, fresh_process: bool = False) -> RunDir:
    """Check everything, take a new run directory and train.

    Args:
        config: the resolved config as plain data.
        overrides: what was typed.
        path: where the run is to write; a number is put behind a name that is taken.
        fresh_process: train in a child process even when there is but one rank, as a sweep's job does.

    Raises:
        UserError: a config that can't work, of which nothing is left behind; or a run that failed.
    """
    from vae_lightning.training import build

    _refuse_torchrun()
    try:
        with reserved(path) as run_dir:
            parts = build(config, run_dir)
            run_dir.check_space(parts.needed_bytes)
    except UserError as error:
        if fresh_process:  # a sweep's job: its failure is one of the sweep's results
            path.mkdir(parents=True, exist_ok=True)
            RunDir(path).write_config(config, overrides)
            RunDir(path).write_status("failed", str(error))
        raise
    _train(parts, overrides, fresh_process)
    return run_dir


def resume(
    config: dict[str, Any],
    overrides: list[str],
    run_dir: RunDir,
    *,
    trusted: tuple[str, ...],
    fresh_process: bool = False,
) -> RunDir:
    """Go on with a run from its last checkpoint; `trusted` as in `config.instantiate`, the rest as in `start`."""
    from vae_lightning.training import build

    _refuse_torchrun()
    parts = build(config, run_dir, resume=True, trusted=trusted)
    run_dir.check_space(parts.needed_bytes)
    _train(parts, run_dir.overrides() + overrides, fresh_process)
    return run_dir


def _train(parts: "Parts", overrides: list[str], fresh_process: bool) -> None:
    from vae_lightning.hardware import device_name
    from vae_lightning.training import run

    run_dir, trainer, resumed = parts.run_dir, parts.trainer, parts.resume
    num_ranks, device = trainer.num_devices, device_name(trainer.strategy.root_device.type)
    run_dir.write_config(parts.config, overrides)
    run_dir.write_environment(device=device, precision=trainer.precision, num_ranks=num_ranks)
    if num_ranks == 1 and not fresh_process:
        run(parts)
    else:
        run_dir.write_status("running")
        del parts, trainer  # the children build their own
        _run_in_children(run_dir, num_ranks, resumed)


def _refuse_torchrun() -> None:
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise UserError("start one process, without torchrun: trainer=ddp trainer.devices=N starts the ranks itself")


def _run_in_children(run_dir: RunDir, num_ranks: int, resumed: bool) -> None:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the run's own status says it shorter
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_ranks,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
    )
    arguments = ["-m", "vae_lightning.launch", str(run_dir.path), *(["--resume"] if resumed else [])]
    try:
        with _handlers_restored(), _threads_shared_by(num_ranks):
            elastic_launch(config, sys.executable)(*arguments)
    except SignalException as error:
        run_dir.write_status("interrupted", error.sigval.name)
        raise KeyboardInterrupt(f"{error.sigval.name}; go on with resume={run_dir.path}") from error
    except ChildFailedError as error:
        raise UserError(f"{run_dir.path}: {_reason(run_dir, error)}") from None


def _reason(run_dir: RunDir, error: Any) -> str:
    """Why the first rank failed: what it wrote down itself, or how it ended when it was killed."""
    status = run_dir.status()
    if status.get("status") != "running":
        return str(status.get("reason"))
    rank, failure = error.get_first_failure()
    reason = f"rank {rank} ended with exit code {failure.exitcode}"
    run_dir.write_status("failed", reason)
    return reason


@contextmanager
def _handlers_restored() -> Iterator[None]:
    """Put the signal handlers back that elastic replaces with its own and leaves there."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _threads_shared_by(num_ranks: int) -> Iterator[None]:
    """Divide the cores among ranks on one machine, unless the user has set OMP_NUM_THREADS."""
    if num_ranks == 1 or "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, num_cpus() // num_ranks))
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]


def main() -> None:
    """Train the prepared run directory that the command line names; why it failed stands in its status file."""
    from vae_lightning.console import configure_logging
    from vae_lightning.training import build, run

    configure_logging()
    run_dir = RunDir(Path(sys.argv[1]))
    try:
        run(build(run_dir.config(), run_dir, resume="--resume" in sys.argv))
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError as error:
        if run_dir.status().get("status") == "running":
            run_dir.write_status("failed", str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
