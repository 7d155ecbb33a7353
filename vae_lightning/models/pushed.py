"""Distributions over latents that are a normal one pushed through an invertible map."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Normal, register_kl
from torch.linalg import solve_triangular

from vae_lightning.models.distributions import DiagonalNormal, UnitNormal, at_least_float32, held_fixed, sample
from vae_lightning.noise import Noise

Pair = tuple[Tensor, Tensor]  # values, and by dimension the logarithm of the map's own stretch there


class PushedNormal(Distribution, ABC):
    """z = f(e), e ~ a normal with independent components: log q(z) = log N(e) - log |det df/de|, f triangular.

    Samples come with their density, which is remembered of the latest: no map is inverted for what it has made itself.

    Attributes:
        base: the distribution of e, batch shape [...], event shape [D].
    """

    def __init__(self, base: DiagonalNormal):
        self.base = base
        self._latest: tuple[Tensor, Tensor, Tensor] | None = None  # f(e), e, and the terms of the log-density
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @abstractmethod
    def push(self, start: Float[Tensor, "... D"]) -> Pair:
        """f(e), and log |df_d/de_d| of each dimension."""

    @abstractmethod
    def pull(self, value: Float[Tensor, "... D"]) -> Pair:
        """e of f(e), and log |df_d/de_d| of each dimension there."""

    @abstractmethod
    def marginals(self) -> Distribution | None:
        """The distribution of each dimension; None where none is known in closed form."""

    @property
    def centre(self) -> Float[Tensor, "... D"]:
        """f of the mean of e: where it lies, and not always its mean."""
        return self.push(self.base.mean)[0]

    def drawn(self, start: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """f(e), whose density is remembered."""
        value, stretch = self.push(start)
        self._latest = value, start, self.base.base_dist.log_prob(start) - stretch
        return value

    def log_prob_by_dimension(self, value: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Each dimension's term of the log-density, log N(e_d) - log |df_d/de_d|; they sum to it."""
        if self._latest is not None and value is self._latest[0]:
            return self._latest[2]
        start, stretch = self.pull(value)
        return self.base.base_dist.log_prob(start) - stretch

    def log_prob(self, value: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        """In nats."""
        return self.log_prob_by_dimension(value).sum(-1)

    def rsample(self, sample_shape: Any = ()) -> Float[Tensor, "... D"]:
        """Samples of PyTorch's own generator, reparameterized."""
        return self.drawn(self.base.rsample(torch.Size(sample_shape)))


@sample.register
def _sample_pushed(distribution: PushedNormal, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B D"]:
    return distribution.drawn(sample(distribution.base, noise, temperature))


class FullNormal(PushedNormal):
    """N(loc, L L^T) over the last axis: batch shape [...], event shape [D].

    Args:
        loc: means.
        scale_tril: L, lower triangular with a positive diagonal.
    """

    def __init__(self, loc: Float[Tensor, "... D"], scale_tril: Float[Tensor, "... D D"]):
        self.loc, self.scale_tril = at_least_float32(loc), at_least_float32(scale_tril)
        self._known: Pair | None = None  # f(e) and e, where another of the same numbers has drawn them
        super().__init__(UnitNormal(torch.zeros_like(self.loc), torch.ones_like(self.loc)))

    def __getitem__(self, rows: slice) -> "FullNormal":
        """Some of a batch of distributions."""
        return FullNormal(self.loc[rows], self.scale_tril[rows])

    @property
    def diagonal(self) -> Float[Tensor, "... D"]:
        """Of L."""
        return self.scale_tril.diagonal(dim1=-2, dim2=-1)

    @property
    def mean(self) -> Float[Tensor, "... D"]:
        return self.loc

    @property
    def variance(self) -> Float[Tensor, "... D"]:
        return self.scale_tril.square().sum(-1)

    @property
    def covariance_matrix(self) -> Float[Tensor, "... D D"]:
        with torch.autocast(self.loc.device.type, enabled=False):
            return self.scale_tril @ self.scale_tril.mT

    def marginals(self) -> Normal:
        return Normal(self.loc, self.variance.sqrt(), validate_args=False)

    @property
    def centre(self) -> Float[Tensor, "... D"]:
        return self.loc

    def push(self, start: Float[Tensor, "... D"]) -> Pair:
        with torch.autocast(start.device.type, enabled=False):
            value = self.loc + torch.einsum("...ij,...j->...i", self.scale_tril, start)
        return value, self.diagonal.log().expand(value.shape)

    def pull(self, value: Float[Tensor, "... D"]) -> Pair:
        if self._known is not None and value is self._known[0]:
            # Solving amplifies rounding, with many correlated dimensions beyond any bound; here it gives the gradient.
            start = self._known[1].detach() + solved(self.scale_tril, value - value.detach())
        else:
            start = solved(self.scale_tril, value - self.loc)
        return start, self.diagonal.log().expand(start.shape)


@held_fixed.register
def _held_fixed_full(distribution: FullNormal) -> FullNormal:
    fixed = FullNormal(distribution.loc.detach(), distribution.scale_tril.detach())
    fixed._known = distribution._known if distribution._latest is None else distribution._latest[:2]
    return fixed


def solved(scale_tril: Float[Tensor, "... D D"], values: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
    """L^-1 of values; of many for each L they are the columns of one matrix."""
    if values.ndim == scale_tril.ndim:
        return solve_triangular(scale_tril, values.movedim(0, -1), upper=False).movedim(-1, 0)
    return solve_triangular(scale_tril, values.unsqueeze(-1), upper=False).squeeze(-1)


@register_kl(FullNormal, DiagonalNormal)
def _kl_from_diagonal(q: FullNormal, p: DiagonalNormal) -> Float[Tensor, "..."]:
    """1/2 sum_d (sum_j L_dj^2 + (m_d - n_d)^2) / s_d^2 - 1 - log L_dd^2 / s_d^2."""
    precision = p.base_dist.scale.square().reciprocal()
    squares = (q.variance + (q.loc - p.base_dist.loc).square()) * precision
    return 0.5 * (squares - 1).sum(-1) - (q.diagonal.log() - p.base_dist.scale.log()).sum(-1)


@register_kl(FullNormal, FullNormal)
def _kl_from_full(q: FullNormal, p: FullNormal) -> Float[Tensor, "..."]:
    """The same of M = L_p^-1 L_q and L_p^-1 (m - n)."""
    relative = solve_triangular(p.scale_tril, q.scale_tril, upper=False).square().sum((-2, -1))
    distance = solve_triangular(p.scale_tril, (q.loc - p.loc).unsqueeze(-1), upper=False).square().sum((-2, -1))
    return 0.5 * (relative + distance - q.loc.shape[-1]) - (q.diagonal.log() - p.diagonal.log()).sum(-1)
