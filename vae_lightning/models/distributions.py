"""Distributions over latents and images, as `torch.distributions` objects in float32, or float64 if given that."""

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
    kl_divergence,
    register_kl,
)
from torch.distributions.constraints import Constraint
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_lightning.models.by_family import ByFamily
from vae_lightning.noise import Noise

_CACHED_VALUES = 2**21  # 8 MB of float32
_CACHED_DOUBLES = 2**19  # 4 MB of float64
_LEAST_MEAN = 1e-3  # of a pixel, when its logit is wanted
_FACTORS = 4  # to a logarithm: float32 holds the product of four 1 + e^l with l up to 22


class DiagonalNormal(Independent):
    """Normal over the last axis with independent components: batch shape [...], event shape [D]."""

    def __init__(self, loc: Float[Tensor, "... D"], scale: Float[Tensor, "... D"]):
        base = Normal(at_least_float32(loc), at_least_float32(scale), validate_args=False)
        super().__init__(base, 1, validate_args=False)

    def __getitem__(self, rows: slice) -> "DiagonalNormal":
        """Some of a batch of distributions."""
        return DiagonalNormal(self.base_dist.loc[rows], self.base_dist.scale[rows])


class UnitNormal(DiagonalNormal):
    """N(0, I) over the last axis; the rate of a `DiagonalNormal` from it is cheaper than from any other."""

    def __init__(self, zeros: Float[Tensor, "... D"], ones: Float[Tensor, "... D"]):
        super().__init__(zeros, ones)


@register_kl(DiagonalNormal, UnitNormal)
def _kl_from_unit_normal(q: DiagonalNormal, _: UnitNormal) -> Float[Tensor, "..."]:
    """The closed form of arXiv 1312.6114, appendix B: bit for bit what PyTorch computes, at two thirds of its cost."""
    variance = q.base_dist.scale.square()
    return 0.5 * (variance + q.base_dist.loc.square() - 1 - variance.log()).sum(-1)


class PointMass(Distribution):
    """All mass at one point: batch shape [...], event shape [D]. It has no density, and none can be asked for."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {}  # any number will do

    def __init__(self, loc: Float[Tensor, "... D"]):
        self.loc = at_least_float32(loc)
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    def __getitem__(self, rows: slice) -> "PointMass":
        """Some of a batch of points."""
        return PointMass(self.loc[rows])

    @property
    def mean(self) -> Float[Tensor, "... D"]:
        """The point."""
        return self.loc

    @property
    def variance(self) -> Float[Tensor, "... D"]:
        """None, which is 0."""
        return torch.zeros_like(self.loc)


class NormalMixture(MixtureSameFamily):
    """A mixture of M normals with independent components: batch shape [], event shape [D].

    Args:
        logits: of the weights, which need not be normalized.
        loc: means.
        scale: standard deviations.
    """

    def __init__(self, logits: Float[Tensor, " M"], loc: Float[Tensor, "M D"], scale: Float[Tensor, "M D"]):
        self.components = DiagonalNormal(loc, scale).base_dist
        self.weights = Categorical(logits=at_least_float32(logits), validate_args=False)
        super().__init__(self.weights, DiagonalNormal(loc, scale), validate_args=False)

    def log_prob(self, value: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        """In nats, computed in float64 where the device has it; of many values without gradients, some at a time."""
        if value.device.type == "mps":
            return super().log_prob(value)
        if torch.is_grad_enabled():
            return self._log_prob(value)
        num_rows = max(1, _CACHED_DOUBLES // len(self.components.loc))
        rows = value.reshape(-1, value.shape[-1])
        return torch.cat([self._log_prob(part) for part in rows.split(num_rows)]).reshape(value.shape[:-1])

    def _log_prob(self, value: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        z, loc, scale = (each.double() for each in (value, self.components.loc, self.components.scale))
        # sum_d ((z - m) / s)^2 as products of matrices, so that nothing of N x M x D is made. Its terms are larger than
        # their sum, which is why float32 would not do.
        precision = scale.square().reciprocal()
        squares = z.square() @ precision.T - 2 * z @ (loc * precision).T + (loc.square() * precision).sum(1)
        constants = scale.log().sum(1) + 0.5 * loc.shape[1] * math.log(2 * math.pi)
        log_weights = self.weights.logits.double()
        return (log_weights - constants - 0.5 * squares).logsumexp(-1).to(value.dtype)

    def marginals(self) -> MixtureSameFamily:
        """The distribution of each component of the event: batch shape [D]."""
        normal = self.components
        logits = self.weights.logits.expand(normal.loc.shape[1], -1)
        parts = Normal(normal.loc.T, normal.scale.T, validate_args=False)
        return MixtureSameFamily(Categorical(logits=logits, validate_args=False), parts, validate_args=False)


@ByFamily
def sample(distribution: Distribution, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B ..."]:
    """Samples of a distribution over latents, reparameterized: K for each of B, or from one that all B share.

    A family registers here, beside `torch.distributions.register_kl` for the rates that have a closed form, and has
    `marginals()`. Of a mixture the choice of a component passes no gradient on.

    Args:
        distribution: of batch shape [B], [K, B] or [].
        noise: what it makes its samples of.
        temperature: so many times the distribution's own spread; of a mixture, that of its components.

    Raises:
        NotImplementedError: a family that is not registered.
    """
    raise NotImplementedError(f"{type(distribution).__name__} is not registered with distributions.sample")


@sample.register
def _sample_normal(distribution: Independent, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B D"]:
    normal = marginals(distribution)
    if not isinstance(normal, Normal):
        raise NotImplementedError(f"{distribution} is not registered with distributions.sample")
    loc, scale = normal.loc, normal.scale
    return loc + (scale if temperature == 1 else temperature * scale) * noise.normal(distribution.event_shape)


@sample.register
def _sample_mixture(distribution: NormalMixture, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B D"]:
    below = distribution.weights.probs.cumsum(0)
    # As torch.searchsorted finds it, which ONNX has not.
    chosen = (below < noise.uniform(()).to(below).unsqueeze(-1)).sum(-1).clamp(max=below.shape[0] - 1)
    parts = distribution.components
    return parts.loc[chosen] + temperature * parts.scale[chosen] * noise.normal(distribution.event_shape)


@sample.register
def _sample_point(distribution: PointMass, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B D"]:
    return distribution.loc + 0 * noise.normal(distribution.event_shape)  # which says how many there are to be


@ByFamily
def held_fixed(distribution: Distribution) -> Distribution:
    """The same distribution, of which log_prob passes a gradient on to its argument and none to its parameters.

    A family registers here for the objectives that ask for it (`objective.gradient=dreg`, `stl`).

    Raises:
        NotImplementedError: a family that is not registered.
    """
    raise NotImplementedError(f"{type(distribution).__name__} is not registered with distributions.held_fixed")


@held_fixed.register
def _held_fixed_normal(distribution: DiagonalNormal) -> DiagonalNormal:
    normal = distribution.base_dist
    return DiagonalNormal(normal.loc.detach(), normal.scale.detach())


def marginals(distribution: Any) -> Distribution | None:
    """The distribution of each component of the event: batch shape [..., D]; None where it has no closed form."""
    return distribution.base_dist if isinstance(distribution, Independent) else distribution.marginals()


def log_prob_by_dimension(distribution: Any, z: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
    """log p(z_d) of each component; where the marginals have no closed form, its term of log p(z)."""
    of_each = marginals(distribution)
    return distribution.log_prob_by_dimension(z) if of_each is None else of_each.log_prob(z)


def centre(distribution: Any) -> Float[Tensor, "... D"]:
    """The point that stands for a distribution over latents: its mean, or what has its place where that is unknown."""
    own = getattr(distribution, "centre", None)
    return distribution.mean if own is None else own


def closed_form_kl(q: Distribution, p: Distribution) -> Float[Tensor, "..."] | None:
    """KL(q || p), or None where none is registered with `torch.distributions` for the pair."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None


class BernoulliImage(Independent):
    """Independent Bernoulli pixels from logits: batch shape [...], event shape [C, H, W]."""

    def __init__(self, logits: Float[Tensor, "*KB C H W"]):
        super().__init__(Bernoulli(logits=at_least_float32(logits), validate_args=False), 3, validate_args=False)

    def log_prob(self, value: Float[Tensor, "*B C H W"]) -> Float[Tensor, "*KB"]:
        """In nats, summed over the pixels; of grey levels in [0, 1] it is the negative cross-entropy, no likelihood."""
        logits, value = torch.broadcast_tensors(self.base_dist.logits, value)
        wants_grad = torch.is_grad_enabled() and (logits.requires_grad or value.requires_grad)
        if logits.device.type == "cpu" and not wants_grad:
            return _bernoulli_log_prob(logits, value)
        nats = binary_cross_entropy_with_logits(logits, value, reduction="none")
        # The sign is turned after the sum: one pass over all pixels less, and in the backward pass one more.
        return -nats.sum((-3, -2, -1))


def _bernoulli_log_prob(logits: Float[Tensor, "*KB C H W"], value: Float[Tensor, "*KB C H W"]) -> Float[Tensor, "*KB"]:
    """The same sum in half the time or less on a CPU, for evaluation: its gradient would be slower.

    No more images than its cache holds are looked at at once, and one logarithm serves many pixels: each is a factor.
    """
    if logits.ndim == 3:
        return _bernoulli_log_prob(logits.unsqueeze(0), value.unsqueeze(0)).squeeze(0)
    num_images = max(1, _CACHED_VALUES // logits[(0,) * (logits.ndim - 3)].numel())
    parts = zip(logits.split(num_images), value.split(num_images), strict=True)
    return torch.cat([_in_cache(*(part.flatten(-3) for part in pair)) for pair in parts])


def _in_cache(logits: Float[Tensor, "... P"], value: Float[Tensor, "... P"]) -> Float[Tensor, "..."]:
    if logits.shape[-1] % _FACTORS == 0:
        # sum x l - log(1 + e^l)
        factors = logits.exp().add_(1).unflatten(-1, (_FACTORS, -1)).prod(-2)
        log_prob = _products(value, logits) - factors.log_().sum(-1)
        if bool(log_prob.isfinite().all()):
            return log_prob
    # The same for any logits: sum x l - max(l, 0) + log sigmoid(|l|)
    linear = logits.clamp(min=0).addcmul_(value, logits, value=-1).sum(-1)
    return logits.abs().sigmoid_().log_().sum(-1) - linear


def _products(value: Float[Tensor, "... P"], logits: Float[Tensor, "... P"]) -> Float[Tensor, "..."]:
    """The inner products along the last axis; of one image with many logits they are a matrix by a vector."""
    if not any(value.stride()[:-1]):
        return logits @ value[(0,) * (value.ndim - 1)]
    return torch.linalg.vecdot(value, logits)


def normal_image(loc: Float[Tensor, "*KB C H W"], scale: Float[Tensor, "..."] | float) -> Independent:
    """Independent Normal pixels with one scale or one each, in units of their range [0, 1]: event shape [C, H, W]."""
    loc = at_least_float32(loc)
    scale = torch.as_tensor(scale, dtype=loc.dtype, device=loc.device).expand_as(loc)
    return Independent(Normal(loc, scale, validate_args=False), 3, validate_args=False)


def clamped_logit(mean: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The logit of a mean pixel, which is 0 wherever all training images are black."""
    return torch.logit(mean, eps=_LEAST_MEAN)


def at_least_float32(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Half precision becomes float32; float64, which gives the same picture on every device, stays."""
    return values if values.dtype == torch.float64 else values.float()
