"""Jobs that train at once get GPUs of their own; which there are is pretended here."""

import threading
import time
from contextlib import ExitStack

import pytest

from vae_lightning.machine import gpus
from vae_lightning.machine.gpus import num_ranks, own_gpus

TRAINER = {"devices": 1, "accelerator": "auto"}


@pytest.fixture
def machine(monkeypatch):
    """`machine("0,1")`: one whose CUDA_VISIBLE_DEVICES says so."""

    def has(visible: str) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        monkeypatch.setattr(gpus, "native_accelerator", lambda accelerator: "cuda" if visible else "cpu")

    return has


def test_ranks_are_counted_as_lightning_counts_devices(machine):
    machine("0,1,2,3")
    counts = {1: 1, 3: 3, "2": 2, -1: 4, "-1": 4, "auto": 4, "0,2,": 2}
    assert {devices: num_ranks(TRAINER | {"devices": devices}) for devices in counts} == counts
    assert num_ranks(TRAINER | {"devices": [1, 3]}) == 2
    assert num_ranks(TRAINER | {"devices": -1}, num_jobs=2) == 2
    machine("")
    assert num_ranks(TRAINER | {"devices": "auto"}) == 1


def test_jobs_at_once_hold_different_gpus(machine, tmp_path):
    machine("4,GPU-7")
    with own_gpus(TRAINER, 2, tmp_path) as first, own_gpus(TRAINER, 2, tmp_path) as second:
        assert sorted(first + second) == ["4", "GPU-7"]
    with own_gpus(TRAINER | {"devices": 2}, 2, tmp_path) as both:
        assert both == ["4", "GPU-7"]


def test_a_job_waits_until_a_gpu_is_free(machine, tmp_path):
    machine("0,1")
    pair = TRAINER | {"devices": 2}
    taken: list[list[str]] = []

    def take() -> None:
        with own_gpus(pair, 1 + 1, tmp_path) as mine:  # two jobs of two share the two
            taken.append(mine)

    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(own_gpus(pair, 2, tmp_path))
        waiting = threading.Thread(target=take)
        waiting.start()
        time.sleep(0.3)
        assert taken == []
    waiting.join(timeout=10)
    assert taken == [["0", "1"]]


def test_more_jobs_than_gpus_share_them_evenly(machine, tmp_path):
    machine("0,1")
    with ExitStack() as held:
        shares = [held.enter_context(own_gpus(TRAINER, 4, tmp_path)) for _ in range(4)]
    assert sorted(share for (share,) in shares) == ["0", "0", "1", "1"]
    assert shares[:2] == [["0"], ["1"]]


@pytest.mark.parametrize(
    ("visible", "devices", "num_jobs"), [("", 1, 2), ("0,1", 1, 1), ("0,1", [1], 2), ("0,1", 3, 2)]
)
def test_nothing_is_shared_out_where_there_is_nothing_to_share(machine, tmp_path, visible, devices, num_jobs):
    machine(visible)
    with own_gpus(TRAINER | {"devices": devices}, num_jobs, tmp_path) as mine:
        assert mine == []
