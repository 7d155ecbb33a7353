"""A hierarchical VAE of convolutions: groups of latent maps, from a small one down to large ones."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import interpolate

from vae_lightning.errors import first_line, require_at_least, require_at_most
from vae_lightning.models.distributions import DiagonalNormal, at_least_float32, sample
from vae_lightning.models.hierarchy import Hierarchy
from vae_lightning.models.latent_model import Group, Latents, Temperature, of_each_group
from vae_lightning.models.networks.pyramid import Bottleneck, LatentSum, Residual, ScaledConvolution
from vae_lightning.models.parts import Shape, decoder_shape, made, made_prior
from vae_lightning.noise import Noise

_FEWEST = 2  # groups: of one it would be a plain VAE
_MOST = 200  # a stranger's config must not ask for more than can be made
_WIDEST = 1024  # channels, likewise
_MOST_LEARNED = 2**26  # values of the learned maps, likewise: 256 MB
_SMALL, _SMALLEST = 8, 2  # pixels of the smallest map unless groups are told, of small images and of larger ones
_GROUPS, _GROUPS_OF_LARGE = 4, 2  # at each size, likewise
_FEW_SIZES = 32  # pixels of an image, up to which it is a small one
_MOST_LOG_VARIANCE = 20.0

# z_l of a level, given p(z_l | z_<l), which is None for the top's, and the state.
Choose = Callable[[int, DiagonalNormal | None, Tensor], Tensor]


@dataclass(frozen=True)
class Pyramid:
    """An image's maps, the smallest first; `[rows]` are those of some images."""

    maps: tuple[Float[Tensor, "B C H W"], ...]

    def __getitem__(self, rows: slice) -> "Pyramid":
        return Pyramid(tuple(each[rows] for each in self.maps))


class TopDown(Hierarchy):
    """q(z|x) = prod_l q(z_l | z_<l, x) and p(z) = prod_l p(z_l | z_<l) of maps z_l, each over a state of all above it.

    The encoder makes maps of the image at several sizes. From the smallest on, a state s goes down through the groups:

        p(z_l | z_<l), h  of s         q(z_l | z_<l, x)  of (features + s) / sqrt(2)         s <- s + h + W z_l, a block

    and is enlarged between sizes. The image is decoded from the latents alone, each group on its own way, so that no
    group is left unused. All convolutions that put out means and log-variances begin with zeros: at first q = p =
    N(0, I) but for the top's prior.

    The arrangement is that of very deep VAEs (arXiv 2011.10650) at the size of the ladder in arXiv 2412.01373.

    Args:
        image_shape: (C, H, W).
        encoder: `encoder(image_shape, num_scales)`, a module with `map_shapes`, which makes maps, the smallest first.
        prior: `prior(latent_dim)`, p(z_1), of the top group.
        likelihood: a module, called with the decoder's output.
        groups: how many groups of latents have the size of each map, the smallest first. None for four at each, down
            to a map of 8 pixels or fewer on its shorter side; "auto" for the same of images of up to 32 pixels, and of
            larger ones two at each, down to a map of 2 pixels, but one of the largest.
        latent_channels: of each group; None for 1 of grey images and 4 of others.
        channels: of the state.
        min_log_variance: of all groups but the prior of the top one.
        decoder: `decoder(map_shapes, image_shape)`, of latents [N, D], group by group, to what the likelihood makes
            p(x|z) of; None for `LatentSum` of as many channels as the state.
        positions: whether a learned map is added to the state at each size, which tells it where it is: for images that
            are aligned, such as faces.

    Raises:
        ValueError: fewer than two groups or too many of them, a number too small, an encoder of other maps, or an image
            too small.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        encoder: Callable[..., nn.Module],
        prior: Callable[..., nn.Module],
        likelihood: nn.Module,
        groups: Sequence[int] | Literal["auto"] | None = None,
        latent_channels: int | None = None,
        channels: int = 32,
        min_log_variance: float = -10.0,
        decoder: Callable[..., nn.Module] | None = None,
        positions: bool = False,
    ):
        super().__init__()
        shape = tuple(image_shape)
        counts = _groups_of(shape, groups)
        if not counts or min(counts) < 1 or sum(counts) < _FEWEST:
            raise ValueError(f"groups must be a number of each size, at least 1, {_FEWEST} in all; got {counts}")
        require_at_most("groups", sum(counts), _MOST)
        width = (1 if shape[0] == 1 else 4) if latent_channels is None else latent_channels
        require_at_least("latent_channels", width, 1)
        require_at_most("latent_channels", width, _WIDEST)
        require_at_least("channels", channels, 1)
        require_at_most("channels", channels, _WIDEST)
        require_at_least("min_log_variance", min_log_variance, -_MOST_LOG_VARIANCE)
        require_at_most("min_log_variance", min_log_variance, 0.0)
        self.encoder = _maps_of(encoder, shape, len(counts))
        sizes = [each[1:] for each in self.encoder.map_shapes]
        self._scale_of = [scale for scale, count in enumerate(counts) for _ in range(count)]
        self.map_shapes: list[Shape] = [(width, *sizes[scale]) for scale in self._scale_of]
        self._take(tuple(torch.Size(each).numel() for each in self.map_shapes))
        learned = sizes if positions else sizes[:1]
        require_at_most("channels", channels, _MOST_LEARNED // sum(height * width for height, width in learned))
        self.first_state = nn.Parameter(torch.zeros(1, channels, *sizes[0]))
        self.positions = nn.ParameterList(
            torch.zeros(1, channels, *size) for size in learned[1:]
        )  # of the smallest size it is the first state
        features = [each[0] for each in self.encoder.map_shapes]
        last = self.num_groups - 1
        self.blocks: Any = nn.ModuleList(
            _Block(
                features[scale],
                channels,
                self.map_shapes[level],
                min_log_variance,
                last_scale=self.num_groups**-0.5,
                is_top=level == 0,
                is_last=level == last,
            )
            for level, scale in enumerate(self._scale_of)
        )
        self.prior = made_prior(prior, self.code_dim, shape)
        make = decoder or partial(LatentSum, channels=channels)
        self.decoder = _decoder_of(make, self.map_shapes, decoder_shape(likelihood, shape))
        self.likelihood = likelihood

    def observe(self, x: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None = None) -> Pyramid:
        """The maps of the images."""
        return Pyramid(tuple(self.encoder(x)))

    def infer(self, observed: Pyramid, noise: Noise) -> tuple[Group, ...]:
        """All groups, from the top down."""
        groups: list[Group] = []

        def choose(level: int, prior: DiagonalNormal | None, state: Tensor) -> Tensor:
            q = self._posterior(level, observed, state)
            if prior is None:
                groups.append(Group(q, self._top_prior(), sample(q, noise)))
            else:
                q, p = (_by_sample(each, len(groups[0].z)) for each in (q, prior))
                groups.append(Group(q, p, sample(q, noise)))
            return groups[-1].z.flatten(0, 1)

        self._descend(choose)
        return tuple(groups)

    def latents(self, observed: Pyramid) -> Latents:
        """The mean of each group at the means of those above it; q(z|x) of all of them is no normal distribution."""
        means = self._descend(lambda level, _, state: self._posterior(level, observed, state).base_dist.loc)
        return Latents(torch.cat(means, -1), None)

    def completed(
        self, code: Float[Tensor, "K B D2"], noise: Noise, temperature: Temperature = 1.0
    ) -> Float[Tensor, "K B D"]:
        """The groups below drawn given those above, each with that many times its own spread."""
        spreads = of_each_group(temperature, self.num_groups)
        given = code.flatten(0, 1).split(self.group_dims[: self.num_groups_in(code.shape[-1])], -1)

        def choose(level: int, prior: DiagonalNormal | None, _: Tensor) -> Tensor:
            if level < len(given) or prior is None:
                return given[level]
            return sample(_by_sample(prior, len(code)), noise, spreads[level]).flatten(0, 1)

        return torch.cat(self._descend(choose), -1).unflatten(0, code.shape[:2])

    def _descend(self, choose: Choose) -> list[Float[Tensor, "N D"]]:
        """What is chosen of each group, from the top down, given its prior and the state of those above it."""
        state: Tensor = self.first_state
        chosen: list[Tensor] = []
        for level, block in enumerate(self.blocks):
            size = self.map_shapes[level][1:]
            if state.shape[2:] != size:
                state = interpolate(state, size, mode="nearest")
                if self.positions:
                    state = state + self.positions[self._scale_of[level] - 1]
            prior, added = (None, None) if level == 0 else block.prior(state)
            chosen.append(choose(level, prior, state))
            if level < self.num_groups - 1:
                state = block.carried(state, added, chosen[-1])
        return chosen

    def _posterior(self, level: int, observed: Pyramid, state: Tensor) -> DiagonalNormal:
        """q(z_l | z_<l, x), batch shape [B] of the top group and [K * B] of the others."""
        return self.blocks[level].posterior(observed.maps[self._scale_of[level]], state)

    def _encode_top(self, x: Float[Tensor, "B C H W"]) -> Distribution:
        return self._posterior(0, self.observe(x), self.first_state)


class _Block(nn.Module):
    """One group: its prior and its posterior given the state, and what the state becomes."""

    def __init__(
        self,
        num_features: int,
        channels: int,
        map_shape: Shape,
        min_log_variance: float,
        last_scale: float,
        is_top: bool,
        is_last: bool,
    ):
        super().__init__()
        self._map_shape = map_shape
        self._log_variances = min_log_variance, _MOST_LOG_VARIANCE
        width = map_shape[0]
        self.features = nn.Identity() if num_features == channels else nn.Conv2d(num_features, channels, kernel_size=1)
        self.of_posterior = Bottleneck(channels, channels, 2 * width, last_scale=0.0)
        self.of_prior: Bottleneck | None = None
        if not is_top:
            self.of_prior = Bottleneck(channels, channels, 2 * width + (0 if is_last else channels), last_scale=0.0)
        if not is_last:
            self.of_latents = ScaledConvolution(width, channels, last_scale)
            self.residual = Residual(channels, last_scale)

    def posterior(self, features: Float[Tensor, "B C2 H W"], state: Float[Tensor, "N C H W"]) -> DiagonalNormal:
        """q of the B images' features and the top's state, which they share, or one of each of K * B samples."""
        told = self.features(features)
        of_samples = state.unflatten(0, (-1, 1 if self.of_prior is None else told.shape[0]))
        return self._normal(self.of_posterior(((of_samples + told) * 0.5**0.5).flatten(0, 1)))

    def prior(self, state: Float[Tensor, "N C H W"]) -> tuple[DiagonalNormal, Float[Tensor, "N C H W"] | None]:
        """p of the state, and what it adds to the state; nothing of the last group."""
        assert self.of_prior is not None  # the top's is no part of its block
        parameters, added = self.of_prior(state).tensor_split([2 * self._map_shape[0]], 1)
        return self._normal(parameters), added if added.shape[1] else None

    def carried(
        self, state: Float[Tensor, "N2 C H W"], added: Float[Tensor, "N C H W"] | None, z: Float[Tensor, "N D"]
    ) -> Float[Tensor, "N C H W"]:
        """The state of the groups below."""
        told = self.of_latents(z.unflatten(1, self._map_shape))
        return self.residual(state + told if added is None else state + added + told)

    def _normal(self, parameters: Float[Tensor, "N C2 H W"]) -> DiagonalNormal:
        loc, log_variance = (each.flatten(1) for each in parameters.chunk(2, 1))
        log_variance = at_least_float32(log_variance).clamp(*self._log_variances)
        return DiagonalNormal(loc, torch.exp(0.5 * log_variance))


def _maps_of(encoder: Callable[..., nn.Module], image_shape: Shape, num_scales: int) -> Any:
    """The encoder, which must make so many maps."""
    try:
        found = made("encoder", encoder, image_shape, num_scales)
    except TypeError as error:  # it takes other arguments
        raise ValueError(f"encoder must make maps, as PyramidEncoder does ({first_line(error)})") from error
    shapes = getattr(found, "map_shapes", None)
    if shapes is None:
        raise ValueError(f"encoder must make maps (map_shapes), as PyramidEncoder does, and not {type(found).__name__}")
    if len(shapes) != num_scales:
        raise ValueError(f"encoder must make {num_scales} maps, as many as groups has sizes; it makes {len(shapes)}")
    return found


def _decoder_of(make: Callable[..., nn.Module], map_shapes: Sequence[Shape], image_shape: Shape) -> nn.Module:
    """The decoder, which must be of maps."""
    try:
        return made("decoder", make, map_shapes, image_shape)
    except TypeError as error:  # it takes other arguments
        raise ValueError(f"decoder must be of maps, as LatentPyramid is ({first_line(error)})") from error


def _by_sample(normal: DiagonalNormal, num_samples: int) -> DiagonalNormal:
    """Of batch shape [K * B], as one of [K, B]."""
    base = normal.base_dist
    return DiagonalNormal(*(each.unflatten(0, (num_samples, -1)) for each in (base.loc, base.scale)))


def _groups_of(image_shape: Shape, groups: Sequence[int] | Literal["auto"] | None) -> list[int]:
    """Of each size, the smallest first."""
    if groups is not None and groups != "auto":
        return [int(count) for count in groups]
    side = min(image_shape[1:])
    if groups is None or side <= _FEW_SIZES:
        return [_GROUPS] * _num_halvings(side, _SMALL)
    return [_GROUPS_OF_LARGE] * (_num_halvings(side, _SMALLEST) - 1) + [1]


def _num_halvings(side: int, smallest: int) -> int:
    """Down to so many pixels."""
    return next(number for number in itertools.count(1) if -(-side // 2**number) <= smallest)
