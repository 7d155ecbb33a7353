"""Evaluation noise is a function of the seed and the image's index only."""

import pytest
import torch

from vae_lightning.noise import Fresh, Indexed, Seeded, derive_seed, indexed_parts, indexed_uniform

CPU = torch.device("cpu")


def indexed_normal(seed: int, indices: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """One draw of one sample for each index."""
    return Indexed(seed, indices, 1, CPU).normal(shape)[0]


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


# All draws of a pass come from one object


def test_fresh_noise_is_what_pytorch_draws_next():
    noise = Fresh(2, 3, CPU)
    torch.manual_seed(0)
    drawn = noise.normal((4,)), noise.uniform(()), noise.normal((1, 5))
    torch.manual_seed(0)
    expected = torch.randn(2, 3, 4), torch.rand(2, 3), torch.randn(2, 3, 1, 5)
    assert all(torch.equal(one, other) for one, other in zip(drawn, expected, strict=True))


def test_seeded_noise_is_that_of_its_own_generator():
    state = torch.random.get_rng_state()
    noise = Seeded(5, 3, CPU)
    drawn = noise.normal((4,)), noise.normal((4,))
    generator = torch.Generator().manual_seed(5)
    expected = torch.randn(3, 4, generator=generator), torch.randn(3, 4, generator=generator)
    assert torch.equal(drawn[0], expected[0].unsqueeze(0))
    assert torch.equal(drawn[1], expected[1].unsqueeze(0))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_first_indexed_draw_is_that_of_which_recorded_figures_are_made():
    indices = torch.tensor([3, 700, 41])
    for row, index in zip(Indexed(9, indices, 6, CPU).normal((4,)).unbind(1), indices.tolist(), strict=True):
        block = torch.randn(256, 6, 4, generator=torch.Generator().manual_seed(derive_seed(9, index // 256)))
        assert torch.equal(row, block[index % 256])


def test_indexed_draws_differ_and_depend_on_their_number_but_not_on_the_batch():
    indices = torch.arange(300)
    whole = Indexed(1, indices, 2, CPU)
    first, uniform, third = whole.normal((4,)), whole.uniform(()), whole.normal((4,))
    assert not torch.equal(first, third)
    assert abs(float((first * third).mean())) < 0.05
    part = Indexed(1, indices[[299, 7]], 2, CPU)
    for together, apart in ((first, part.normal((4,))), (uniform, part.uniform(())), (third, part.normal((4,)))):
        assert torch.equal(apart, together[:, [299, 7]])


def parts_of(indices: torch.Tensor, num_samples: int, most: int) -> list[torch.Tensor]:
    """Two normal draws and a uniform one between them, of all samples."""
    drawn = []
    for part in indexed_parts(4, indices, num_samples, most, CPU):
        drawn.append((part.normal((3,)), part.uniform(()), part.normal((2,))))
    return [torch.cat(each) for each in zip(*drawn, strict=True)]


@pytest.mark.parametrize("most", [1, 900, 10**6])
def test_many_samples_do_not_depend_on_how_they_are_divided(most):
    indices, num_samples = torch.tensor([8, 2]), 5300  # more than share a generator
    whole, divided = parts_of(indices, num_samples, 10**9), parts_of(indices, num_samples, most)
    assert [tuple(each.shape) for each in whole] == [(5300, 2, 3), (5300, 2), (5300, 2, 2)]
    assert all(torch.equal(one, other) for one, other in zip(whole, divided, strict=True))
    alone = parts_of(indices[1:], num_samples, most)
    assert all(torch.equal(one, other[:, 1:]) for one, other in zip(alone, whole, strict=True))


def test_the_first_of_many_samples_are_those_of_which_recorded_figures_are_made():
    [first, *_] = parts_of(torch.tensor([6]), 7, 100)
    expected = torch.randn(7, 3, generator=torch.Generator().manual_seed(derive_seed(4, 6, 0)))
    assert torch.equal(first[:, 0], expected)
