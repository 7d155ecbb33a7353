"""How much of a codebook is used, counted by hand."""

import math

import pytest
import torch

from vae_lightning.latents.code_use import CodeMeter, CodeUse
from vae_lightning.models.codes import ChosenCode, UniformCodes
from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.latent_model import Group


def group(indices: list[list[int]]) -> Group:
    chosen = torch.tensor(indices)
    q = ChosenCode(chosen.float(), chosen)
    return Group(q, UniformCodes(torch.ones(2), 4, 2, lambda each: each.float()), q.z.unsqueeze(0))


def test_use_and_perplexity_are_those_of_all_batches():
    meter = CodeMeter()
    meter.update([group([[0, 0], [0, 1]])])
    meter.update([group([[1, 1]])])
    use = meter.compute()
    assert use is not None
    assert use.counts.tolist() == [3, 3, 0, 0]
    assert use.figures() == {"codebook_use": 0.5, "perplexity": pytest.approx(2)}


def test_perplexity_is_between_one_and_the_number_of_codes():
    assert CodeUse(torch.tensor([7.0, 0, 0]).double()).perplexity == pytest.approx(1)
    assert CodeUse(torch.tensor([5.0, 5, 5]).double()).perplexity == pytest.approx(3)
    weights = CodeUse(torch.tensor([1.0, 3]).double()).perplexity
    assert weights == pytest.approx(math.exp(0.25 * math.log(4) + 0.75 * math.log(4 / 3)))


def test_it_is_summed_over_the_ranks():
    meter = CodeMeter()
    meter.update([group([[0, 3]])])
    use = meter.compute(lambda counts: counts + torch.tensor([0, 2, 0, 0]))
    assert use is not None
    assert use.counts.tolist() == [1, 2, 0, 1]


def test_of_continuous_latents_there_is_none():
    normal = DiagonalNormal(torch.zeros(3, 2), torch.ones(3, 2))
    meter = CodeMeter()
    meter.update([Group(normal, normal, torch.zeros(1, 3, 2))])
    assert meter.compute() is None
