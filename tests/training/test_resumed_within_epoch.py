"""What a run that is gone on with within an epoch believes of its place there, and of its ranks' states."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.checkpoints.changing import FIRST, GONE, INF, NAN, put, same
from tests.training.believed import believed, refusal
from vae_lightning.training.run import Parts


def within(parts: Parts) -> dict[str, Any]:
    module = parts.module
    run = {"num_batches": 9, "batch_size": 128, "num_ranks": 1, "accumulate_grad_batches": 1, "device": "cpu"}
    rank = {
        "random": {"cpu": torch.get_rng_state()},
        "gradients": {FIRST: torch.full((4, 784), INF)},
        "buffers": dict(module.named_buffers()),
    }
    place = {"batches": 4, "validating": False, "accumulated": 1}
    return place | {"run": run | {"precision": "bf16-mixed"}, "ranks": [rank]}


def twister(left: int, following: int) -> Tensor:
    """A generator's state that has so many words left, of 624, and draws that one next."""
    state = torch.Generator().get_state()
    state[8:12].view(torch.int32).fill_(left)
    state[16:24].view(torch.int64).fill_(following)
    return state


WITHIN = {
    "batches": [None, GONE, -1, 9, 10, "x", 10**9, 0],
    "validating": [None, 1, "x"],
    "accumulated": [None, -1, 5],
    "run": [None, [], {"num_batches": "x"}, {"num_ranks": 2}],
    "ranks": [None, [], {}, ["x"], [{}]],
    "ranks/0/random": [None, {}, {"cpu": "x"}, {"cpu": torch.zeros(3, dtype=torch.uint8)}],
    "ranks/0/random/cpu": [
        *(torch.zeros(5056, dtype=torch.uint8), torch.zeros(5056), torch.full((5056,), 255).byte()),
        *(twister(*words) for words in ((624, 624), (624, 2), (1, 623), (300, 326), (0, 624), (625, 0), (2, 0))),
    ],
    "ranks/0/gradients": [None, {FIRST: torch.zeros(2)}, {FIRST: None}, {FIRST: torch.zeros(4, 784).double()}],
    "ranks/0/buffers": [None, {"vae.prior.loc": torch.zeros(3)}, {"vae.prior.loc": torch.tensor([NAN, 0.0])}],
}


def test_a_place_within_an_epoch_is_taken_as_it_was_and_refused_where_it_is_none(parts, saved, file):
    place = within(parts)
    torch.save(saved | {"within_epoch": place}, file)
    assert same(believed(parts, file)["within_epoch"], place)
    torch.save(saved | {"within_epoch": {key: place[key] for key in place if key != "validating"}}, file)
    assert same(believed(parts, file)["within_epoch"], place)  # an earlier version's
    torch.save(saved | {"within_epoch": place | {"batches": 9, "validating": True}}, file)
    assert believed(parts, file)["within_epoch"]["batches"] == 9
    for path, values in WITHIN.items():
        for value in values:
            changed = copy.deepcopy(place)
            put(path, value)(changed)
            torch.save(saved | {"within_epoch": changed}, file)
            assert "within_epoch" in refusal(parts, file), (path, value)


@pytest.mark.parametrize("num_drawn", [0, 1, 2, 100, 311, 623, 624, 625, 1248, 1249])
def test_the_state_of_a_generator_is_taken_whatever_it_has_drawn(parts, saved, file, num_drawn):
    generator, place = torch.Generator().manual_seed(num_drawn), within(parts)
    for draw in (torch.rand, torch.randn, torch.randperm):
        for _ in range(num_drawn):
            draw(1, generator=generator)
        put("ranks/0/random/cpu", generator.get_state())(place)
        torch.save(saved | {"within_epoch": place}, file)
        assert same(believed(parts, file)["within_epoch"], place)
