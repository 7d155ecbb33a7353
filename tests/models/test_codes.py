"""One code and all codes as distributions."""

import math

import torch
from torch.distributions import kl_divergence

from tests.given import fresh
from vae_lightning.models.codes import ChosenCode, UniformCodes
from vae_lightning.models.distributions import marginals, sample

CODES = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])


def uniform() -> UniformCodes:
    nats = torch.full((4,), math.log(3) / 2)
    return UniformCodes(nats, 3, 2, lambda indices: CODES[indices].mT.flatten(1))


def point(indices) -> ChosenCode:
    return ChosenCode(CODES[indices].mT.flatten(1), indices)


def test_the_mass_is_on_the_code_alone():
    q = point(torch.tensor([[0, 1], [2, 2]]))
    assert q.batch_shape == (2,)
    assert q.event_shape == (4,)
    z = sample(q, fresh(5, 2))
    assert z.shape == (5, 2, 4)
    assert torch.equal(z, q.mean.expand(5, 2, 4))
    assert q.log_prob(z).eq(0).all()
    assert q.log_prob(z + 1).eq(-math.inf).all()


def test_a_sample_of_the_one_code_draws_nothing():
    state = torch.get_rng_state()
    sample(point(torch.tensor([[0, 1]])), fresh(5, 1))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_divergence_is_the_logarithm_of_the_number_of_codes_a_position():
    q, p = point(torch.tensor([[0, 1], [2, 2]])), uniform()
    torch.testing.assert_close(kl_divergence(q, p), torch.full((2,), 2 * math.log(3)))
    torch.testing.assert_close(kl_divergence(marginals(q), marginals(p)), torch.full((2, 4), math.log(3) / 2))
    z = sample(p, fresh(6, 7))
    assert z.shape == (6, 7, 4)
    torch.testing.assert_close(p.log_prob(z).exp(), torch.full((6, 7), 1 / 9))
    assert len({tuple(row) for row in z.flatten(0, 1).tolist()}) == 9
