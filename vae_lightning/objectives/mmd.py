"""The maximum mean discrepancy of a batch's latents from the prior, which says how far q(z) is from p(z)."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.distributions import at_least_float32, sample
from vae_lightning.models.latent_model import VAEOutput
from vae_lightning.noise import Draw, Fresh, Noise, Seeded

Kernel = Literal["imq", "rbf"]
_SEED = 0  # of what is drawn from the prior in evaluation


def mmd(
    z: Float[Tensor, "K B D"], other: Float[Tensor, "K B D"], kernel: Kernel, bandwidth: float | None = None
) -> Float[Tensor, ""]:
    """The squared MMD between two sets of B vectors, the mean over K pairs of such sets; no unit, in [0, 2].

    mean_ij k(z_i, z_j) + mean_ij k(p_i, p_j) - 2 mean_ij k(z_i, p_j), with all pairs (a V-statistic): it is never
    negative and the same for sets that are repeated. Of two sets from one distribution it is not 0 but about
    2 (1 - E k) / B. Gretton et al., A Kernel Two-Sample Test, arXiv 0805.2368.

    Args:
        z, other: the two sets.
        kernel: of the squared distance s, "imq" C / (C + s) or "rbf" exp(-s / C).
        bandwidth: C; None is 2D, the mean of s between two draws of N(0, I).
    """
    z, other = at_least_float32(z), at_least_float32(other)
    c = 2 * z.shape[-1] if bandwidth is None else bandwidth
    within = _mean_kernel(z, z, kernel, c) + _mean_kernel(other, other, kernel, c)
    return within - 2 * _mean_kernel(z, other, kernel, c)


def _mean_kernel(a: Tensor, b: Tensor, kernel: Kernel, c: float) -> Tensor:
    # Not by products of matrices, whose rounding is that of |a|^2 and not of the distance.
    squares = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square() / c
    return (1 / (1 + squares) if kernel == "imq" else squares.neg().exp()).mean()


class PriorDiscrepancy(nn.Module):
    """The squared MMD between the latents of a batch, one for each of its images, and as many draws from the prior.

    It is an estimate from the batch, of sets as large as that: in training by fresh draws of the device's generator, in
    evaluation by the same ones for every batch. Each rank takes its own batch, and so does each of those that a step
    accumulates. Of several groups it is the sum over them of the MMD between (z_<l, z_l) and (z_<l, a draw of
    p(z_l | z_<l)), which is 0 for all of them where q(z) = p(z).

    Raises:
        ValueError: a bandwidth that is not positive and finite.
    """

    def __init__(self, kernel: Kernel = "imq", bandwidth: float | None = None):
        if bandwidth is not None and not 0 < bandwidth < math.inf:
            raise ValueError(f"bandwidth must be positive and finite, or null for 2 latent_dim; got {bandwidth}")
        super().__init__()
        self.kernel: Kernel = kernel
        self.bandwidth = bandwidth

    def forward(self, output: VAEOutput) -> Float[Tensor, " B"]:
        """The batch's MMD, for each of its images the same."""
        z = output.groups[0].z
        num_samples, num_images, _ = z.shape
        noise: Noise = Fresh(num_samples, num_images, z.device)
        if not self.training:
            noise = _Repeated(Seeded(_SEED, num_images, z.device), num_samples)
        parts, above = [], z[..., :0]
        for group in output.groups:
            own, drawn = (torch.cat([above, each], -1) for each in (group.z, sample(group.prior, noise)))
            parts.append(mmd(own, drawn, self.kernel, self.bandwidth))
            above = torch.cat([above, group.z], -1)
        return torch.stack(parts).sum().expand(num_images)


class _Repeated(Noise):
    """The same noise for each of the K samples."""

    def __init__(self, noise: Noise, num_samples: int):
        self._noise, self._num_samples = noise, num_samples

    def draw(self, draw: Draw, shape: tuple[int, ...]) -> Float[Tensor, "K B ..."]:
        return self._noise.draw(draw, shape).expand(self._num_samples, -1, *shape)
