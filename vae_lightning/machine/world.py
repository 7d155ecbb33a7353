"""The ranks that work on one run together, and how they agree: those of torchrun, of srun or of `launch`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from vae_lightning.errors import UserError
from vae_lightning.machine.hardware import native_accelerator

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process's place among the ranks; a world of one rank is what an ordinary command has.

    Attributes:
        rank: 0 to size - 1.
        local_rank: the same among the ranks of this node.
        local_size: how many ranks this node has.
        launcher: what started the ranks: "torchrun", "srun" or "" for a world of one.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    launcher: str = ""

    @property
    def num_nodes(self) -> int:
        return self.size // self.local_size

    def agree(self, decide: Callable[[], T]) -> T:
        """What rank zero decides, on every rank; a UserError there is one everywhere."""
        if self.size == 1:
            return decide()
        outcome = _outcome(decide) if self.rank == 0 else None
        return _opened(self._broadcast(outcome))

    def in_turns(self, act: Callable[[], T]) -> T:
        """Each rank's own result, the first rank of each node before the others; all fail when one does.

        What the first leaves on the node's disk, such as a decoded data set, the others find there.
        """
        if self.size == 1:
            return act()
        mine = _outcome(act) if self.local_rank == 0 else None
        self._check_all(mine)
        if self.local_rank != 0:
            mine = _outcome(act)
        self._check_all(mine)
        return _opened(mine)

    def collect(self, value: T) -> list[T]:
        """What all ranks have, in their order, on every rank."""
        if self.size == 1:
            return [value]
        import torch.distributed

        values: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        return values

    def trainer_settings(self, trainer: dict[str, Any]) -> dict[str, Any]:
        """The config's trainer node with the devices, nodes and strategy that this world has."""
        if self.size == 1:
            return trainer
        strategy = "ddp" if trainer["strategy"] == "auto" else trainer["strategy"]
        return trainer | {"devices": self.local_size, "num_nodes": self.num_nodes, "strategy": strategy}

    def cluster_environment(self) -> Any:
        """What tells Lightning about this world."""
        from lightning.fabric.plugins.environments import (
            LightningEnvironment,
            SLURMEnvironment,
            TorchElasticEnvironment,
        )

        if self.launcher == "srun":
            return SLURMEnvironment(auto_requeue=False)  # a requeued job is gone on with from last.ckpt
        return TorchElasticEnvironment() if TorchElasticEnvironment.detect() else LightningEnvironment()

    def _broadcast(self, value: Any) -> Any:
        import torch.distributed

        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]

    def _check_all(self, outcome: Any) -> None:
        import torch.distributed

        outcomes: list[Any] = [None] * self.size
        errors = None if outcome is None else outcome[1]
        torch.distributed.all_gather_object(outcomes, errors)
        for error in outcomes:
            if error is not None:
                raise UserError(error)


def _outcome(decide: Callable[[], T]) -> tuple[T | None, str | None]:
    try:
        return decide(), None
    except UserError as error:
        return None, str(error)


def _opened(outcome: Any) -> Any:
    value, error = outcome
    if error is not None:
        raise UserError(error)
    return value


def given_world() -> World:
    """The world that torchrun or srun has put this process in, read from the environment; no connection is made."""
    number = {name: int(value) for name, value in os.environ.items() if value.isdigit()}
    if "TORCHELASTIC_RUN_ID" in os.environ and number.get("WORLD_SIZE", 1) > 1:
        return World(
            number["RANK"], number["WORLD_SIZE"], number["LOCAL_RANK"], number["LOCAL_WORLD_SIZE"], launcher="torchrun"
        )
    # Of the step, not of the job: a batch script's own commands see the job's SLURM_NTASKS but are alone.
    if number.get("SLURM_STEP_NUM_TASKS", 1) > 1 and "SLURM_PROCID" in number:
        size, nodes = number["SLURM_STEP_NUM_TASKS"], number.get("SLURM_STEP_NUM_NODES", 1)
        if size % nodes:
            raise UserError(f"srun: {size} tasks on {nodes} nodes; give every node the same number of tasks")
        return World(number["SLURM_PROCID"], size, number["SLURM_LOCALID"], size // nodes, launcher="srun")
    return World()


@contextmanager
def joined_world(accelerator: str) -> Iterator[World]:
    """The given world with its ranks connected, so that they can agree; Lightning then trains over the same group.

    Args:
        accelerator: the config's, which decides between NCCL and gloo.
    """
    world = given_world()
    if world.size == 1:
        yield world
        return
    import torch

    place = world.cluster_environment()
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = place.main_address, str(place.main_port)
    cuda = native_accelerator(accelerator) == "cuda"
    if cuda:
        torch.cuda.set_device(world.local_rank)
    torch.distributed.init_process_group("nccl" if cuda else "gloo", rank=world.rank, world_size=world.size)
    yield world
    torch.distributed.destroy_process_group()  # not after an error: it would wait for ranks that are gone
