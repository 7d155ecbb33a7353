"""The regularized autoencoder: a code without noise, and a decoder that is kept smooth by other means."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.errors import require_weight
from vae_lightning.models.latent_model import LatentModel, VAEOutput, mean_of_samples
from vae_lightning.objectives.terms import Objective, Progress, Terms, distortion, several_groups


class RAE(Objective):
    """loss = distortion + beta / 2 |z|^2 + weight * R(decoder), z = mu(x) the code of a point posterior.

    R is, by `regularization`, of parameters theta and the mean image D(z) in [0, 1] of p(x|z):

        "l2"    |theta|^2, of the decoder's parameters; weight decay is another thing under Adam.
        "gp"    |dD/dz|^2, the squared Frobenius norm of the Jacobian, by |v^T dD/dz|^2 with v ~ N(0, I): its mean is
                that. It is taken in training alone, where there are gradients, and not of a compiled model.
        "none"  0.

    The cost of a reconstruction is -log p(x|z): the paper's squared error with a Gaussian likelihood of a fixed scale.

    There is no noise in z, hence no rate, no ELBO and no log p(x), and none is logged or printed. The best checkpoint
    is that of the lowest validation loss, of which R is left out. The prior has no part in training: the paper draws
    its samples from a density that is fitted to the codes afterwards.

    Ghosh, Sajjadi, Vergari, Black & Schoelkopf, From Variational to Deterministic Autoencoders, arXiv 1903.12436.

    Raises:
        ValueError: a beta or a weight that is negative or not finite.
    """

    needs_continuous = True
    needs_density = False

    def __init__(self, beta: float = 1.0, regularization: Literal["l2", "gp", "none"] = "l2", weight: float = 1e-3):
        require_weight("beta", beta)
        require_weight("weight", weight)
        super().__init__()
        self.beta = beta
        self.regularization = regularization
        self.differentiates_twice = regularization == "gp"
        self.weight = weight

    def why_not(self, vae: LatentModel) -> str | None:
        """It knows no noise and trains no prior."""
        if (reason := several_groups(vae)) is not None:
            return reason
        if vae.has_density:
            return "has a code without noise; choose model/posterior=point"
        prior = getattr(vae, "prior", None)
        if prior is not None and next(prior.parameters(), None) is not None:
            return f"does not train a {type(prior).__name__}; choose model/prior=standard_normal"
        return None

    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        z = output.groups[0].z
        distortions = distortion(output.likelihood.log_prob(x))
        code = mean_of_samples(z.square().sum(-1))
        loss, extra = distortions + self.beta / 2 * code, {"code": code}
        if self.training and self.regularization != "none":
            extra["decoder"] = self._of_weights(output, x) if self.regularization == "l2" else _of_slope(output, z)
            loss = loss + self.weight * extra["decoder"]
        return Terms(loss, None, distortions, extra)

    def _of_weights(self, output: VAEOutput, x: Tensor) -> Float[Tensor, " B"]:
        if output.decoder is None:
            raise ValueError("regularization must be gp or none for an output that does not tell its decoder")
        squares = [parameter.float().square().sum() for parameter in output.decoder.parameters()]
        return torch.stack(squares).sum().expand(len(x))


def _of_slope(output: VAEOutput, z: Float[Tensor, "K B D"]) -> Float[Tensor, " B"]:
    """|v^T dD/dz|^2 of each image; within a batch images have nothing to do with one another, but for BatchNorm."""
    mean = output.likelihood.mean
    (slope,) = torch.autograd.grad(mean, z, torch.randn_like(mean), create_graph=True)
    return mean_of_samples(slope.float().square().sum(-1))
