"""A hierarchical VAE: groups of latents, each drawn given those above it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_lightning.errors import require_at_least
from vae_lightning.models.distributions import centre, sample
from vae_lightning.models.hierarchy import Hierarchy
from vae_lightning.models.latent_model import Group, Latents, Temperature, of_each_group
from vae_lightning.models.parts import check_prior, decoder_shape, made, made_prior
from vae_lightning.noise import Noise

_FEWEST = 2  # groups: of one it would be a plain VAE


class Ladder(Hierarchy):
    """q(z|x) = prod_l q(z_l | z_<l, x) and p(z) = prod_l p(z_l | z_<l), each factor with hidden layers of its own.

    The top group z_1 has the prior of a plain VAE, p(z_1), and q(z_1|x) straight from the encoder's features. The
    decoder is given all groups side by side, so that none has to pass on what another knows. Inference from the top
    down is that of arXiv 1606.04934. Two groups of 40 with gated layers, an encoder for each and a VampPrior at the top
    are the hierarchy of arXiv 1705.07120 (`model=gated_hvae model/prior=vamp`), which counts its groups from the image.

    Args:
        image_shape: (C, H, W).
        latent_dims: the number of latent dimensions of each group, the top one first.
        encoder: `encoder(image_shape)`, a module with the attribute `num_features`.
        posterior: `posterior(num_features, latent_dim)`, which makes all factors but p(z_1) of features.
        prior: `prior(latent_dim)`, p(z_1).
        decoder: `decoder(latent_dim, image_shape)`, of all latents together.
        likelihood: a module, called with the decoder's output.
        hidden: the width of the hidden layers.
        between: `between(num_features, num_latents, hidden)`, what the features of the image and all latents above a
            group go through side by side, to as many features as `hidden` says; in p(z_l | z_<l) there are none of an
            image, 0. None for one dense layer with ReLU.
        lower_encoder: `lower_encoder(image_shape)`, the encoder of all groups but the top; None for the same one. A
            VampPrior's images go through the top's alone.

    Raises:
        ValueError: fewer than two groups, a group or hidden layers of no width, a posterior without a density, or an
            image too small for the network.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dims: Sequence[int],
        encoder: Callable[..., nn.Module],
        posterior: Callable[..., nn.Module],
        prior: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        likelihood: nn.Module,
        hidden: int = 256,
        between: Callable[..., nn.Module] | None = None,
        lower_encoder: Callable[..., nn.Module] | None = None,
    ):
        super().__init__()
        if len(latent_dims) < _FEWEST or min(latent_dims) < 1:
            raise ValueError(f"latent_dims must be {_FEWEST} widths or more, each at least 1; got {list(latent_dims)}")
        require_at_least("hidden", hidden, 1)
        shape = tuple(image_shape)
        self.latent_dims = tuple(latent_dims)
        self._take(self.latent_dims)
        self.encoder = made("encoder", encoder, shape)
        top, *others = latent_dims
        self.lower_encoder = None if lower_encoder is None else made("lower_encoder", lower_encoder, shape)
        num_features, num_lower_features = self._numbers_of_features()
        above = [sum(latent_dims[:level]) for level in range(1, len(latent_dims))]

        def factor(num_given: int, num_latents: int, latent_dim: int) -> nn.Sequential:
            layers = _dense(num_given + num_latents, hidden)
            if between is not None:
                layers = [made("between", between, num_given, num_latents, hidden)]
            return nn.Sequential(*layers, made("posterior", posterior, hidden, latent_dim))

        pairs = list(zip(above, others, strict=True))
        self.top_posterior = made("posterior", posterior, num_features, top)
        if not getattr(self.top_posterior, "has_density", True):
            name = type(self.top_posterior).__name__
            raise ValueError(
                f"posterior must have a density, for it makes the priors p(z_l | z_<l), too; {name} has none: choose "
                "another posterior"
            )
        self.posteriors = nn.ModuleList(factor(num_lower_features, *pair) for pair in pairs)
        self.prior = made_prior(prior, top, shape)
        check_prior(self.prior, self.top_posterior)
        self.priors = nn.ModuleList(factor(0, *pair) for pair in pairs)
        self.decoder = made("decoder", decoder, self.latent_dim, decoder_shape(likelihood, shape))
        self.likelihood = likelihood

    def observe(self, x: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None = None) -> Float[Tensor, "B F"]:
        """The encoder's features, and behind them those of the lower groups' own encoder, if they have one."""
        features = self.encoder(x)
        return features if self.lower_encoder is None else torch.cat([features, self.lower_encoder(x)], -1)

    def infer(self, observed: Float[Tensor, "B F"], noise: Noise) -> tuple[Group, ...]:
        """All groups, from the top down."""
        of_top, of_lower = self._features(observed)
        q = self.top_posterior(of_top)
        groups = [Group(q, self._top_prior(), sample(q, noise))]
        z = groups[0].z
        features = of_lower.expand(len(z), *of_lower.shape)
        for posterior, prior in zip(self.posteriors, self.priors, strict=True):
            q = posterior(torch.cat([features, z], -1))
            groups.append(Group(q, prior(z), sample(q, noise)))
            z = torch.cat([z, groups[-1].z], -1)
        return tuple(groups)

    def latents(self, observed: Float[Tensor, "B F"]) -> Latents:
        """The mean of each group at the means of those above it; q(z|x) of all of them is no normal distribution."""
        of_top, of_lower = self._features(observed)
        means = centre(self.top_posterior(of_top))
        for posterior in self.posteriors:
            means = torch.cat([means, centre(posterior(torch.cat([of_lower, means], -1)))], -1)
        return Latents(means, None)

    def completed(
        self, code: Float[Tensor, "K B D2"], noise: Noise, temperature: Temperature = 1.0
    ) -> Float[Tensor, "K B D"]:
        """The groups below drawn given those above, each with that many times its own spread."""
        z, given = code, self.num_groups_in(code.shape[-1])
        spreads = of_each_group(temperature, self.num_groups)[given:]
        for prior, spread in zip(list(self.priors)[given - 1 :], spreads, strict=True):
            z = torch.cat([z, sample(prior(z), noise, spread)], -1)
        return z

    def _numbers_of_features(self) -> tuple[int, int]:
        """Of the encoder of the top group, and of that of all others."""
        of_top, of_lower = self.encoder, self.encoder if self.lower_encoder is None else self.lower_encoder
        sizes: Any = of_top.num_features, of_lower.num_features
        return sizes

    def _features(self, observed: Float[Tensor, "B F"]) -> tuple[Float[Tensor, "B F1"], Float[Tensor, "B F2"]]:
        """Those for the top group, and those for all others."""
        if self.lower_encoder is None:
            return observed, observed
        of_top, of_lower = observed.split(self._numbers_of_features(), -1)
        return of_top, of_lower

    def _encode_top(self, x: Float[Tensor, "B C H W"]) -> Distribution:
        return self.top_posterior(self.encoder(x))


def _dense(num_inputs: int, hidden: int) -> list[nn.Module]:
    return [nn.Linear(num_inputs, hidden), nn.ReLU()]
