"""q(z|x) as a normal distribution that goes through an inverse autoregressive flow."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.errors import require_at_least
from vae_lightning.models.distributions import DiagonalNormal, at_least_float32
from vae_lightning.models.flows import Flow, FlowNormal, context_of
from vae_lightning.models.parts import ConditionalDistribution


class FlowPosterior(ConditionalDistribution):
    """z_0 ~ N(mu(x), diag(sigma(x)^2)), z_t = mu_t(z_<, h(x)) + sigma_t(z_<, h(x)) * z_{t-1}; z is the last of them.

    Kingma et al., Improved Variational Inference with Inverse Autoregressive Flow, arXiv 1606.04934, with zuko's masked
    networks and affine steps. It starts as the `DiagonalGaussian` of the same heads. Its rate is sampled. Where a
    single point stands for an image (encodings, reconstructions, active units) it is mu(x) sent through the flow, for
    the mean has no closed form.

    Args:
        num_features: length of the encoder's feature vector.
        latent_dim: number of latent dimensions D.
        num_steps: T.
        hidden: widths of the hidden layers of each step's network.
        num_context: the width of h(x), a linear head.
        max_log_variance: log sigma^2 is clamped to +-this, so that one bad step can't overflow float32.

    Raises:
        UserError: zuko is not installed.
        ValueError: an argument out of its range.
    """

    has_independent_components = False
    has_marginals = False

    def __init__(
        self,
        num_features: int,
        latent_dim: int,
        num_steps: int = 2,
        hidden: Sequence[int] = (128,),
        num_context: int = 32,
        max_log_variance: float = 20.0,
    ):
        super().__init__()
        require_at_least("num_steps", num_steps, 1)
        require_at_least("num_context", num_context, 1)
        if max_log_variance <= 0:
            raise ValueError(f"max_log_variance must be positive, got {max_log_variance}")
        self.loc = nn.Linear(num_features, latent_dim)
        self.log_variance = nn.Linear(num_features, latent_dim)
        self.context = nn.Linear(num_features, num_context)
        self.flow = Flow(latent_dim, num_context, num_steps, hidden, "affine")
        self.max_log_variance = max_log_variance

    def forward(self, features: Float[Tensor, "*B F"]) -> FlowNormal:
        bound = self.max_log_variance
        log_variance = at_least_float32(self.log_variance(features)).clamp(-bound, bound)
        base = DiagonalNormal(self.loc(features), torch.exp(0.5 * log_variance))
        return FlowNormal(base, self.flow, context_of(self.context, features))
