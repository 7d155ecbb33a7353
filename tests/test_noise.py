"""Evaluation noise is a function of the seed and the image's index only."""

import torch

from vae_lightning.noise import derive_seed, indexed_normal, indexed_uniform


def test_rows_do_not_depend_on_the_batch_they_come_in():
    whole = indexed_normal(3, torch.arange(1000), (5,))
    shuffled = torch.randperm(1000)
    torch.testing.assert_close(indexed_normal(3, shuffled, (5,)), whole[shuffled])
    torch.testing.assert_close(indexed_normal(3, torch.tensor([999, 0]), (5,)), whole[[999, 0]])


def test_seeds_and_indices_give_unrelated_noise():
    a, b = indexed_normal(0, torch.arange(2000), (4,)), indexed_normal(1, torch.arange(2000), (4,))
    assert abs(float((a * b).mean())) < 0.05
    assert abs(float((a[:-256] * a[256:]).mean())) < 0.05
    assert abs(float(a.mean())) < 0.05
    assert abs(float(a.std()) - 1) < 0.05


def test_uniform_lies_in_the_unit_interval():
    noise = indexed_uniform(0, torch.arange(500), (3, 3))
    assert noise.min() >= 0
    assert noise.max() < 1
    assert abs(float(noise.mean()) - 0.5) < 0.02


def test_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    indexed_normal(0, torch.arange(10), (2,))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_derived_seeds_differ_and_fit_a_generator():
    seeds = {derive_seed(seed, epoch) for seed in range(30) for epoch in range(30)}
    assert len(seeds) == 900
    torch.Generator().manual_seed(max(seeds))
