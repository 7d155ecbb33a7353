"""p(x|z) of binary pixels."""

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from vae_lightning.models.distributions import BernoulliImage, clamped_logit
from vae_lightning.models.parts import Likelihood


class BernoulliLikelihood(Likelihood):
    """p(x|z) = Bernoulli(x; sigmoid(decoder(z))), a likelihood of binary images; the default for grey ones.

    On grey levels its log-probability is the usual cross-entropy in nats, but not a likelihood.
    """

    levels = 2  # a probability of black and of white

    def forward(
        self, decoded: Float[Tensor, "*KB C H W"], target: Float[Tensor, "B C H W"] | None = None
    ) -> Distribution:
        return BernoulliImage(decoded)

    def decoder_output(self, mean: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """What the decoder must give for the likelihood to have this mean."""
        return clamped_logit(mean)
