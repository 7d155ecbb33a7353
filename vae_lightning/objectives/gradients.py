"""Estimators of a bound's gradient with less variance than its own: which paths of an output pass it on."""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from vae_lightning.errors import UserError
from vae_lightning.models.distributions import held_fixed
from vae_lightning.models.latent_model import LatentModel, VAEOutput
from vae_lightning.objectives.terms import log_weight, several_groups


def why_not_held_fixed(model: LatentModel, gradient: str) -> str | None:
    """The reason against a model of several groups of latents, or None.

    Its lower posteriors are functions of the latents above them, by networks whose parameters alone would have to be
    held fixed.
    """
    reason = "needs continuous latents; choose another model" if model.is_discrete else several_groups(model)
    return reason and f"with objective.gradient={gradient} {reason}"


def sampled_rate(output: VAEOutput) -> Float[Tensor, "K B"]:
    """log q(z|x) - log p(z) of each sample."""
    [group] = output.groups
    return -group.log_ratio()


def along_the_path(output: VAEOutput) -> VAEOutput:
    """The same output, of which log q(z|x) passes a gradient on to z and none to its own parameters.

    What is left out, the score, has expectation 0, and varies where all else does not: at the exact posterior log
    p(x, z) - log q(z|x) is log p(x) for any z. Roeder, Wu & Duvenaud, Sticking the landing, arXiv 1703.09194.
    """
    if len(output.groups) > 1:
        raise UserError(f"objective.gradient: is for one group of latents, and the model has {len(output.groups)}")
    [group] = output.groups
    return replace(output, groups=(replace(group, posterior=held_fixed(group.posterior)),))


def doubly_reparameterized(output: VAEOutput, log_likelihood: Float[Tensor, "K B"]) -> Float[Tensor, "K B"]:
    """Log-weights whose importance-weighted bound has the gradient of Tucker et al., arXiv 1810.04152.

    With normalized weights w_k the encoder's gradient is sum_k w_k^2 (d log w_k / d z_k) (d z_k / d phi), that of
    decoder and prior sum_k w_k d log w_k / d theta as ever. The bound gives each sample its first w_k, and what reaches
    z_k is multiplied by the second.
    """
    log_weights = log_weight(along_the_path(output), log_likelihood)
    [group] = output.groups
    if group.z.requires_grad:
        weights = log_weights.detach().softmax(0).unsqueeze(-1)
        group.z.register_hook(lambda gradient: gradient * weights)
    return log_weights
