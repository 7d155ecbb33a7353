"""How many images and samples there is time for, and what is said while they are taken."""

import logging

import pytest
import torch

from tests.models.test_top_down import SHAPE, top_down
from vae_lightning.errors import UserError
from vae_lightning.likelihood.memory import LatentMemory
from vae_lightning.metrics.log_likelihood import LogLikelihood, memory_budget, sizes_within
from vae_lightning.metrics.subject import _Lines

SMALL = top_down()


@pytest.mark.parametrize(
    ("num_latents", "num_images", "fewest", "expected"),
    [
        (1e9, 10_000, 1, (10_000, 5_000)),
        (4e7, 10_000, 1, (8_000, 5_000)),
        (2.5e6, 10_000, 1, (500, 5_000)),
        (2.4e6, 10_000, 1, (1_200, 2_000)),
        (1e5, 10_000, 1, (500, 200)),
        (4e4, 10_000, 1, (400, 100)),  # not even 500 images
        (1e5, 360, 1, (360, 200)),
        (1.8e6, 360, 1, (360, 5_000)),
        (3.0, 360, 1, (1, 100)),
        (3.0, 360, 4, (4, 100)),
    ],
)
def test_there_are_500_images_before_there_are_more_samples(num_latents, num_images, fewest, expected):
    assert sizes_within(num_latents, num_images, fewest) == expected


def test_where_there_is_no_terminal_a_line_comes_now_and_then(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr("vae_lightning.metrics.subject.time.monotonic", lambda: now[0])
    caplog.set_level(logging.INFO, "vae_lightning")
    lines = _Lines("NLL", 2_000)
    for now[0] in (10.0, 31.0, 40.0, 62.0):
        lines.update(500)
    assert [record.getMessage() for record in caplog.records] == [
        "NLL: 1,000 of 2,000 images",
        "NLL: 2,000 of 2,000 images",
    ]


@pytest.mark.parametrize(("free", "budget"), [(1e9, 512e6), (4e9, 1e9), (140e9, 8e9)])
def test_a_gpu_is_given_a_quarter_of_what_is_free_there(monkeypatch, free, budget):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (int(free), 141 * 10**9))
    assert memory_budget(torch.device("cuda")) == budget
    assert memory_budget(torch.device("cpu")) == 512e6


@pytest.mark.parametrize(
    ("memory_mb", "fixed", "per_latent", "expected"),
    [
        ("auto", 100e6, 1e6, 64),  # of 412 that there is room for, the fastest number on a CPU
        ("auto", 500e6, 1e6, 12),
        ("auto", 0, 100e6, 1),
        (200, 100e6, 1e6, 100),
        (2000, 100e6, 1e6, 1900),
    ],
)
def test_on_a_cpu_as_many_latents_at_a_time_as_are_fast_and_have_room(
    monkeypatch, memory_mb, fixed, per_latent, expected
):
    needed = LatentMemory(int(fixed), int(per_latent))
    monkeypatch.setattr("vae_lightning.metrics.log_likelihood.latent_memory", lambda vae, shape: needed)
    metric = LogLikelihood(memory_mb=memory_mb)
    assert metric._max_latents(SMALL, SHAPE) == expected


@pytest.mark.parametrize(("memory_mb", "told"), [("auto", "auto, which is at most 512 here"), (30, "30")])
def test_one_latent_that_has_no_room_is_refused(monkeypatch, memory_mb, told):
    needed = LatentMemory(500_000_000, 20_000_000)
    monkeypatch.setattr("vae_lightning.metrics.log_likelihood.latent_memory", lambda vae, shape: needed)
    with pytest.raises(UserError, match=rf"^nll\.memory_mb={told}: one latent takes 520\.0 MB to decode$"):
        LogLikelihood(memory_mb=memory_mb)._max_latents(SMALL, SHAPE)
