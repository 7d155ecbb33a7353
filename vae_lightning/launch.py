"""How a run's processes start: in this process, or as fresh ones for the ranks of DDP and the jobs of a sweep.

`python -m vae_lightning.launch <run directory>` trains a prepared run directory; it is what the fresh processes run.
"""

import logging
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from vae_lightning.errors import UserError
from vae_lightning.hardware import num_cpus
from vae_lightning.run_dir import RunDir


def launch(
    config: dict[str, Any],
    overrides: list[str],
    run_dir: RunDir,
    *,
    resume: bool = False,
    fresh_process: bool = False,
    trusted: tuple[str, ...] | None = None,
) -> None:
    """Check everything, make the run directory, train.

    Args:
        config: the resolved config as plain data.
        overrides: what was typed.
        run_dir: where the run is to write; made here unless it is resumed.
        resume: go on from its last checkpoint.
        fresh_process: train in a child process even when there is but one rank.
        trusted: see `config.instantiate`.

    Raises:
        UserError: a config that can't work, before anything is written; or a run that failed.
    """
    from vae_lightning.hardware import device_name
    from vae_lightning.training import build, run

    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise UserError("start one process, without torchrun: trainer=ddp trainer.devices=N starts the ranks itself")
    try:
        parts = build(config, run_dir, resume=resume, trusted=trusted)
    except UserError as error:
        if fresh_process and not resume:  # a sweep's job: its failure is one of the sweep's results
            run_dir.path.mkdir(parents=True, exist_ok=True)
            run_dir.write_config(config, overrides)
            run_dir.write_status("failed", str(error))
        raise
    num_ranks = parts.trainer.num_devices
    run_dir.make(parts.needed_bytes)
    run_dir.write_config(config, run_dir.overrides() + overrides if resume else overrides)
    run_dir.write_environment(device=device_name(), precision=parts.trainer.precision, num_ranks=num_ranks)
    if num_ranks == 1 and not fresh_process:
        run(parts)
    else:
        del parts
        _run_in_children(run_dir, num_ranks, resume)


def _run_in_children(run_dir: RunDir, num_ranks: int, resume: bool) -> None:
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
    arguments = ["-m", "vae_lightning.launch", str(run_dir.path), *(["--resume"] if resume else [])]
    if num_ranks > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, num_cpus() // num_ranks)))
    try:
        elastic_launch(config, sys.executable)(*arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status = run_dir.status()
        if status.get("status") == "running":
            status = {"reason": f"rank {rank} ended with exit code {failure.exitcode}"}
            run_dir.write_status("failed", status["reason"])
        raise UserError(f"{run_dir.path}: {status['reason']}") from None


def main() -> None:
    """Train the prepared run directory that the command line names."""
    from vae_lightning.console import reporting_errors
    from vae_lightning.training import build, run

    with reporting_errors():
        run_dir = RunDir(Path(sys.argv[1]))
        run(build(run_dir.config(), run_dir, resume="--resume" in sys.argv, trusted=None))


if __name__ == "__main__":
    main()
