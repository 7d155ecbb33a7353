"""Passes over a few images, made for what looks at a whole batch."""

import torch
from torch import Tensor

from vae_lightning.models.distributions import BernoulliImage, DiagonalNormal, UnitNormal
from vae_lightning.models.latent_model import Group, VAEOutput
from vae_lightning.objectives.terms import Progress

START = Progress(0)


def unit_normal(dims: int) -> UnitNormal:
    return UnitNormal(torch.zeros(dims), torch.ones(dims))


def passed(loc: Tensor, scale: Tensor, noise: Tensor, prior=None) -> tuple[VAEOutput, Tensor]:
    """A pass of images whose posteriors are these [B, D], with latents by this noise [K, B, D]; and the images."""
    posterior = DiagonalNormal(loc, scale)
    group = Group(posterior, prior or unit_normal(loc.shape[1]), loc + scale * noise)
    x = torch.linspace(0, 1, 6).view(1, 2, 3).expand(len(loc), 1, 2, 3)
    weights = torch.linspace(-1, 1, 6 * loc.shape[1]).view(loc.shape[1], 6)
    return VAEOutput((group,), BernoulliImage((group.z @ weights).unflatten(-1, (1, 2, 3)))), x


def any_pass(num_images: int = 5, dims: int = 3, num_samples: int = 1, **options) -> tuple[VAEOutput, Tensor]:
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(num_images, dims, generator=generator)
    scale = torch.rand(num_images, dims, generator=generator) + 0.3
    return passed(loc, scale, torch.randn(num_samples, num_images, dims, generator=generator), **options)


def extremes_reach_every_gradient(objective, prior=None) -> None:
    """Means of +-1e4 and scales of e^-10 and e^10, in a bfloat16 autocast, too."""
    for dtype in (torch.float32, torch.bfloat16):
        loc = torch.tensor([[1e4, -1e4], [0.0, 0.0], [0.0, 1.0]], requires_grad=True)
        scale = torch.tensor([[4.5e-5, 2.2e4], [1.0, 4.5e-5], [1.0, 1.0]], requires_grad=True)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is torch.bfloat16):
            output, x = passed(loc, scale, torch.ones(1, 3, 2), prior)
            terms = objective(output, x, Progress(0, num_images=60_000))
        assert all(bool(each.isfinite().all()) for each in terms.by_name().values())
        assert {each.dtype for each in terms.by_name().values()} == {torch.float32}
        for gradient in torch.autograd.grad(terms.loss.sum(), [loc, scale]):
            assert bool(gradient.isfinite().all())
            assert bool(gradient.any())
