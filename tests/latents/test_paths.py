"""Walks start and end where they should, and do in between what their names say."""

import math

import pytest
import torch
from torch.distributions import Normal

from tests.objectives.test_elbo import LinearGaussian
from tests.oracles import TwoGroups
from vae_lightning.latents.paths import (
    PATHS,
    Spread,
    chain,
    linear,
    manifold,
    prior_spread,
    spherical,
    traversals,
    why_no_manifold,
)
from vae_lightning.models.distributions import DiagonalNormal

UNIT = Spread(torch.zeros(4), torch.ones(4), True)


def angles(path):
    """Between neighbouring points, in float64."""
    unit = torch.nn.functional.normalize(path.double(), dim=-1)
    return 2 * torch.atan2((unit[1:] - unit[:-1]).norm(dim=-1), (unit[1:] + unit[:-1]).norm(dim=-1))


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
class TestEveryPath:
    @pytest.mark.parametrize("num_points", [2, 3, 10])
    @pytest.mark.parametrize("shape", [(5,), (7, 1), (7, 2), (2, 3, 4)])
    def test_both_ends_are_included_to_the_bit(self, path, shape, num_points):
        start, end = 1e3 * torch.randn(shape), torch.randn(shape)
        points = path(start, end, num_points)
        assert points.shape == (num_points, *shape)
        assert torch.equal(points[0], start)
        assert torch.equal(points[-1], end)

    def test_many_paths_are_as_good_as_one(self, path):
        start, end = torch.randn(6, 4), torch.randn(6, 4)
        end[1], end[2], start[3], end[4] = start[1], -start[2], 0, 0
        together = path(start, end, 7)
        for row in range(6):
            torch.testing.assert_close(together[:, row], path(start[row], end[row], 7))

    def test_the_way_back_is_the_way_there(self, path):
        start, end = torch.randn(6, 4), torch.randn(6, 4)
        end[0] = -2 * start[0]
        torch.testing.assert_close(path(end, start, 7), path(start, end, 7).flip(0), atol=1e-5, rtol=1e-5)

    def test_a_single_point_is_refused(self, path):
        with pytest.raises(ValueError, match=r"^num_points must be at least 2, got 1$"):
            path(torch.zeros(2), torch.ones(2), 1)


def test_linear_steps_are_all_the_same():
    start, end = torch.randn(3, 4), torch.randn(3, 4)
    steps = linear(start, end, 9).diff(dim=0)
    torch.testing.assert_close(steps, ((end - start) / 8).expand(8, 3, 4))


def test_spherical_turns_evenly_in_one_plane_while_the_norm_changes_linearly():
    start, end = torch.randn(50, 6).double(), 3 * torch.randn(50, 6).double()
    path = spherical(start, end, 9)
    turned = angles(path)
    torch.testing.assert_close(turned, turned[:1].expand_as(turned))
    torch.testing.assert_close(turned.sum(0), angles(torch.stack([start, end]))[0])
    norms = path.norm(dim=-1)
    torch.testing.assert_close(
        norms, linear(start.norm(dim=-1, keepdim=True), end.norm(dim=-1, keepdim=True), 9)[..., 0]
    )
    assert torch.linalg.matrix_rank(path.transpose(0, 1), rtol=1e-9).tolist() == [2] * 50


def test_spherical_is_the_textbook_slerp_for_equal_norms():
    start, end = (2 * torch.nn.functional.normalize(torch.randn(20, 5).double(), dim=-1) for _ in range(2))
    angle = torch.arccos((start * end).sum(-1, keepdim=True) / 4)
    slerp = [(torch.sin((1 - t / 6) * angle) * start + torch.sin(t / 6 * angle) * end) / angle.sin() for t in range(7)]
    torch.testing.assert_close(spherical(start, end, 7), torch.stack(slerp))


@pytest.mark.parametrize("tilt", [0, 1e-12, 1e-8, 1e-7, 1e-6, 1e-5, 1e-3])
@pytest.mark.parametrize("factor", [1.0, -1.0, 0.01, -0.01, -100.0])
@pytest.mark.parametrize("num_dims", [2, 3, 64])
def test_spherical_keeps_its_norm_and_its_pace_for_nearly_parallel_and_opposite_points(tilt, factor, num_dims):
    start = torch.randn(20, num_dims)
    end = factor * (start + tilt * torch.randn(20, num_dims))
    path = spherical(start, end, 11)
    lower, upper = torch.stack([start.norm(dim=-1), end.norm(dim=-1)]).aminmax(dim=0)
    assert (path.norm(dim=-1) >= lower * (1 - 1e-5)).all()
    assert (path.norm(dim=-1) <= upper * (1 + 1e-5)).all()
    turned = angles(path)
    torch.testing.assert_close(turned, turned.mean(0, keepdim=True).expand_as(turned), atol=1e-5, rtol=1e-4)


def test_opposite_points_are_joined_through_a_perpendicular_one_always_the_same():
    start = torch.randn(8, 5)
    path = spherical(start, -3 * start, 3)
    assert torch.equal(path, spherical(start, -3 * start, 3))
    torch.testing.assert_close((path[1] * start).sum(-1), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(path[1].norm(dim=-1), 2 * start.norm(dim=-1))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ([0.0, 0.0], [3.0, 4.0]),
        ([3.0, 4.0], [0.0, 0.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([-2.0], [6.0]),
        ([1e-30, 0.0], [3.0, 4.0]),
    ],
)
def test_spherical_is_linear_where_there_is_no_direction_to_turn(start, end):
    start, end = torch.tensor(start), torch.tensor(end)
    torch.testing.assert_close(spherical(start, end, 5), linear(start, end, 5))


def test_a_chain_links_each_point_to_the_next_by_every_path():
    points = torch.randn(4, 3)
    ways = chain(points, 5)
    assert ways.shape == (3, len(PATHS), 5, 3)
    for pair in range(3):
        for way, path in zip(ways[pair], PATHS.values(), strict=True):
            torch.testing.assert_close(way, path(points[pair], points[pair + 1], 5))


def test_traversals_vary_one_dimension_a_row():
    centre, values = torch.randn(4), torch.tensor([-3.0, 0.0, 3.0])
    untouched = centre.clone()
    rows = traversals(centre, [2, 0], values, UNIT)
    assert rows.shape == (2, 3, 4)
    assert torch.equal(rows[0, :, 2], values)
    assert torch.equal(rows[1, :, 0], values)
    assert torch.equal(rows[0][:, [0, 1, 3]], centre[[0, 1, 3]].expand(3, 3))
    assert torch.equal(rows[1][:, 1:], centre[1:].expand(3, 3))
    assert torch.equal(centre, untouched)


def test_values_are_in_deviations_of_the_prior_from_its_mean():
    spread = Spread(torch.tensor([0.0, 5.0]), torch.tensor([1.0, 2.0]), False)
    rows = traversals(torch.full((2,), 9.0), [0, 1], torch.tensor([-1.0, 0.0, 1.0]), spread)
    assert rows[0].tolist() == [[-1, 9], [0, 9], [1, 9]]
    assert rows[1].tolist() == [[9, 3], [9, 5], [9, 7]]


def test_the_spread_of_a_hierarchy_is_that_of_its_samples():
    model = TwoGroups()
    spread = prior_spread(model, torch.device("cpu"))
    torch.testing.assert_close(spread.stddev.square(), model._covariance_of_z().diagonal(), atol=0.1, rtol=0.1)
    assert float(spread.mean.abs().max()) < 0.1
    assert not spread.is_unit
    assert torch.equal(spread.mean, prior_spread(model, torch.device("cpu")).mean)


def test_the_spread_of_the_standard_normal_is_exact():
    spread = prior_spread(LinearGaussian().vae(), torch.device("cpu"))
    assert spread.is_unit
    assert spread.mean.tolist() == [0, 0, 0]
    assert spread.stddev.tolist() == [1, 1, 1]


def test_a_manifold_is_of_two_dimensions_and_the_standard_normal():
    vae = LinearGaussian().vae()
    assert why_no_manifold(vae) == "for two latent dimensions, and this run has 3"
    vae.latent_dim = 2
    assert why_no_manifold(vae) is None
    vae.prior.forward = lambda: DiagonalNormal(torch.zeros(2), torch.ones(2))
    assert (
        why_no_manifold(vae)
        == "for a prior N(0, I) of both dimensions, by whose quantiles it goes, and this run has another"
    )


@pytest.mark.parametrize("dim", [-1, 4])
def test_a_dimension_that_is_not_there_is_refused(dim):
    with pytest.raises(ValueError, match=f"^dims must be from 0 to 3, got {dim}$"):
        traversals(torch.zeros(4), [0, dim], torch.zeros(2), UNIT)


def test_manifold_is_even_in_probability_with_z1_to_the_right_and_z2_upwards():
    grid, quantiles = manifold(20)
    expected = (torch.arange(20) + 0.5) / 20
    torch.testing.assert_close(Normal(0.0, 1.0).cdf(quantiles), expected)
    assert torch.equal(grid[7, :, 0], quantiles)
    assert torch.equal(grid[:, 7, 1], quantiles.flip(0))
    assert (grid[:, :, 0] == grid[:1, :, 0]).all()
    assert (grid[:, :, 1] == grid[:, :1, 1]).all()
    assert float(quantiles[-1]) == pytest.approx(math.sqrt(2) * float(torch.erfinv(torch.tensor(0.95))), rel=1e-5)


def test_an_odd_manifold_has_its_middle_at_the_origin():
    assert manifold(5)[0][2, 2].tolist() == [0, 0]
    assert manifold(1)[0].tolist() == [[[0, 0]]]
    with pytest.raises(ValueError, match=r"^num_points must be at least 1, got 0$"):
        manifold(0)
