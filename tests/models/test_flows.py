"""Flows: invertible, of the density that their Jacobian says, and the identity at the start."""

import sys

import pytest
import torch
from torch.autograd.functional import jacobian

from tests.given import Given, fresh
from vae_lightning.errors import UserError
from vae_lightning.models.distributions import DiagonalNormal, UnitNormal, centre, held_fixed, marginals, sample
from vae_lightning.models.flows import Flow, FlowNormal
from vae_lightning.models.latent_model import Group

B, C = 4, 5
KINDS = ("affine", "spline")


def flow(num_dims: int, kind: str, num_context: int = 0, spread: float = 0.7) -> Flow:
    """Away from the identity, in float64."""
    torch.manual_seed(0)
    made = Flow(num_dims, num_context, 2, (8,), kind, bins=4)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith(("gain", "steps.0.bias", "steps.1.bias")):
                parameter.normal_().mul_(spread)
    return made.double()


def base(*shape: int) -> DiagonalNormal:
    loc = torch.zeros(shape, dtype=torch.float64)
    return UnitNormal(loc, torch.ones_like(loc))


@pytest.mark.parametrize("num_dims", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_context", [0, C])
def test_it_leads_back_to_where_it_came_from(num_dims, kind, num_context):
    made, x = flow(num_dims, kind, num_context), 2 * torch.randn(3, B, num_dims, dtype=torch.float64)
    context = torch.randn(B, C, dtype=torch.float64) if num_context else None
    y, stretch = made(x, context)
    back, same = made.inverse(y, context)
    torch.testing.assert_close(back, x, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(same.expand(x.shape), stretch.expand(x.shape), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(y, x, atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_its_stretch_is_that_of_the_jacobian(kind):
    made, x = flow(3, kind, C), torch.randn(3, dtype=torch.float64)
    context = torch.randn(C, dtype=torch.float64)
    matrix = jacobian(lambda value: made(value, context)[0], x)
    torch.testing.assert_close(made(x, context)[1].sum(), torch.linalg.slogdet(matrix).logabsdet)
    one = made.steps[0]
    lower = jacobian(lambda value: one(value, context)[0], x)
    assert not bool(lower.triu(1).any())
    torch.testing.assert_close(lower.diagonal().log(), one(x, context)[1].detach())


@pytest.mark.parametrize(("kind", "is_inverse"), [("affine", True), ("affine", False), ("spline", True)])
def test_its_density_integrates_to_one(kind, is_inverse):
    made = FlowNormal(base(2), flow(2, kind, spread=0.4), is_inverse=is_inverse)
    line = torch.linspace(-9, 9, 181, dtype=torch.float64)
    with torch.no_grad():
        density = made.log_prob(torch.cartesian_prod(line, line)).exp().reshape(181, 181)
    assert float(torch.trapezoid(torch.trapezoid(density, line), line)) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("is_inverse", [True, False])
def test_the_density_of_its_own_samples_is_remembered_and_that_of_others_found(is_inverse):
    made = FlowNormal(base(B, 3), flow(3, "affine", C), torch.randn(B, C, dtype=torch.float64), is_inverse)
    z = sample(made, fresh(2, B))
    remembered, found = made.log_prob(z), made.log_prob(z.clone())
    torch.testing.assert_close(remembered, found, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(made.log_prob_by_dimension(z).sum(-1), found, atol=1e-6, rtol=1e-6)
    sample(made, fresh(2, B))
    torch.testing.assert_close(made.log_prob(z), found)  # of an earlier sample, too


@pytest.mark.parametrize("is_inverse", [True, False])
def test_an_images_samples_are_its_own_noise_whatever_stands_beside_it(is_inverse):
    made = FlowNormal(base(B, 3), flow(3, "affine", C), torch.randn(B, C, dtype=torch.float64), is_inverse)
    noise = torch.randn(2, B, 3)
    z = sample(made, Given(noise))
    torch.testing.assert_close(sample(made[1:3], Given(noise[:, 1:3])), z[:, 1:3])
    torch.testing.assert_close(sample(made, Given(noise), temperature=0)[0], centre(made))
    assert marginals(made) is None


def test_the_terms_of_the_dimensions_sum_to_the_rate_of_a_sample():
    q = FlowNormal(base(B, 3), flow(3, "affine", C), torch.randn(B, C, dtype=torch.float64))
    p = FlowNormal(base(3), flow(3, "spline"), is_inverse=True)
    for posterior in (q, DiagonalNormal(torch.randn(B, 3).double(), torch.rand(B, 3).double())):
        group = Group(posterior, p, sample(posterior, fresh(1, B)))
        torch.testing.assert_close(group.rate_per_dimension().sum(1), group.rate(), atol=1e-6, rtol=1e-6)
    wide = Group(q, p, sample(q, fresh(6, B)))
    assert wide.rate_per_dimension().shape == (B, 3)
    torch.testing.assert_close(wide.rate(), -wide.log_ratio().mean(0))


def test_many_densities_are_found_some_at_a_time(monkeypatch):
    made, z = FlowNormal(base(3), flow(3, "spline"), is_inverse=True), torch.randn(5, 7, 3, dtype=torch.float64)
    expected = made.log_prob(z).detach()
    monkeypatch.setattr("vae_lightning.models.flows._VALUES", 100)
    with torch.no_grad():
        torch.testing.assert_close(made.log_prob(z), expected)


@pytest.mark.parametrize("is_inverse", [True, False])
def test_held_fixed_it_is_the_same_for_latents_alone(is_inverse):
    made, context = flow(3, "affine", C), torch.randn(B, C, dtype=torch.float64, requires_grad=True)
    live = FlowNormal(base(B, 3), made, context, is_inverse)
    z = torch.randn(2, B, 3, dtype=torch.float64, requires_grad=True)
    fixed = held_fixed(live).log_prob(z)
    torch.testing.assert_close(fixed, live.log_prob(z))
    inputs = [z, context, *made.parameters()]
    to_z, *to_others = torch.autograd.grad(fixed.sum(), inputs, allow_unused=True)
    assert to_others == [None] * len(to_others)
    torch.testing.assert_close(to_z, torch.autograd.grad(live.log_prob(z).sum(), z)[0])
    assert all(parameter.requires_grad for parameter in made.parameters())
    assert torch.equal(held_fixed(held_fixed(live)).log_prob(z), fixed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("initialize", [lambda _: None, torch.nn.init.xavier_uniform_])
def test_it_starts_as_the_identity_however_weights_are_initialized(kind, initialize):
    made, x = Flow(3, C, 3, (8,), kind), torch.randn(B, 3)
    for layer in made.modules():
        if isinstance(layer, torch.nn.Linear):
            initialize(layer.weight)
    y, stretch = made(x, torch.randn(B, C))
    torch.testing.assert_close(y, x, atol=1e-5, rtol=0)
    torch.testing.assert_close(stretch, torch.zeros(B, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1e-3, 1e4])
def test_it_stays_finite_with_gradients_in_half_precision_too(kind, size):
    made = flow(3, kind, C).float()
    x, context = (size * torch.randn(2, B, 3)).requires_grad_(), size * torch.randn(B, C)
    with torch.autocast("cpu", torch.bfloat16):
        y, stretch = made(x, context)
        back, _ = made.inverse(y, context)
    assert y.dtype == stretch.dtype == torch.float32
    assert bool(torch.cat([y, stretch.expand(y.shape), back]).isfinite().all())
    (y.mean() + stretch.mean()).backward()
    assert all(bool(each.grad.isfinite().all()) for each in (x, *made.parameters()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"num_steps": 10**9}, "num_steps must be at most 100, got 1000000000"),
        ({"bins": 1}, "bins must be at least 2, got 1"),
        ({"hidden": ()}, r"hidden must be a list of positive widths, got \[\]"),
        ({"hidden": (4, 0)}, r"hidden must be a list of positive widths, got \[4, 0\]"),
    ],
)
def test_impossible_values_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Flow(2, 0, **{"num_steps": 1, "hidden": (4,), "kind": "spline"} | options)


def test_without_its_package_a_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(UserError, match=r'zuko is not installed: pip install "vae-lightning\[flows\]"$'):
        Flow(2, 0, 1, (4,), "affine")
