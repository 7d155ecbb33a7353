"""Which world a process finds itself in is read off the environment alone."""

import pytest

from vae_lightning.errors import UserError
from vae_lightning.machine.world import World, given_world

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
}
SRUN = {
    "SLURM_JOB_ID": "12",
    "SLURM_NTASKS": "8",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}
# What a batch script's own commands see, before any srun.
SBATCH = {"SLURM_JOB_ID": "12", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}


@pytest.fixture
def world_in(monkeypatch):
    def read(variables: dict[str, str]) -> World:
        for name in TORCHRUN | SRUN:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return given_world()

    return read


def test_torchrun_and_srun_give_a_world(world_in):
    assert world_in(TORCHRUN) == World(5, 8, 1, 4, launcher="torchrun")
    assert world_in(SRUN) == World(5, 8, 1, 4, launcher="srun")
    assert world_in(SRUN).num_nodes == 2


@pytest.mark.parametrize(
    "variables",
    [{}, SBATCH, TORCHRUN | {"WORLD_SIZE": "1", "RANK": "0"}, SRUN | {"SLURM_STEP_NUM_TASKS": "1"}],
    ids=["nothing", "a batch script", "torchrun with one process", "srun with one task"],
)
def test_one_process_is_alone(world_in, variables):
    assert world_in(variables) == World()


def test_nodes_with_different_numbers_of_tasks_are_refused(world_in):
    with pytest.raises(UserError, match="7 tasks on 2 nodes"):
        world_in(SRUN | {"SLURM_STEP_NUM_TASKS": "7"})


def test_the_trainer_is_told_of_the_world():
    trainer = {"devices": -1, "strategy": "auto", "max_epochs": 3}
    told = World(5, 8, 1, 4, launcher="torchrun").trainer_settings(trainer)
    assert told == {"devices": 4, "num_nodes": 2, "strategy": "ddp", "max_epochs": 3}
    assert World().trainer_settings(trainer) == trainer


def test_alone_one_decides_for_oneself():
    def fails():
        raise UserError("no")

    assert World().agree(lambda: 3) == World().in_turns(lambda: 3) == 3
    for ask in (World().agree, World().in_turns):
        with pytest.raises(UserError, match="no"):
            ask(fails)
