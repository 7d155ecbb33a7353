"""The terms that every objective is made of, read off a `VAEOutput`, in nats per image."""

import functools
import math
import operator
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.distributions import NormalMixture
from vae_lightning.models.latent_model import LatentModel, VAEOutput, mean_of_samples


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        step: optimizer steps taken so far.
        num_steps: of the whole training, 0 where that is not known.
        num_images: that are trained on.
    """

    step: int
    num_steps: int = 0
    num_images: int = 0


@dataclass(frozen=True)
class Terms:
    """What an objective returns, per image.

    Attributes:
        loss: what is minimised, [B].
        rate: KL(q(z|x) || p(z)), [B]; None where q(z|x) has no density: then there is no ELBO either.
        distortion: -E_q log p(x|z), [B].
        extra: whatever else the objective has to tell, by the name under which it is logged, [B] each.
    """

    loss: Float[Tensor, " B"]
    rate: Float[Tensor, " B"] | None
    distortion: Float[Tensor, " B"]
    extra: dict[str, Float[Tensor, " B"]] = field(default_factory=dict)

    @property
    def elbo(self) -> Float[Tensor, " B"] | None:
        """The plain bound -(distortion + rate), at beta = 1 whatever is minimised; None without a rate."""
        return None if self.rate is None else -(self.distortion + self.rate)

    def by_name(self) -> dict[str, Float[Tensor, " B"]]:
        """All that there are, detached, in the order in which they are reported."""
        terms = {"loss": self.loss, "elbo": self.elbo, "rate": self.rate, "distortion": self.distortion} | self.extra
        return {name: values.detach() for name, values in terms.items() if values is not None}


class Objective(nn.Module, ABC):
    """What training minimises. Its state is buffers, so that checkpoints have it; its parameters are trained.

    A scheduled value is a number of the host that `prepare` writes into a buffer, and `forward` reads from there: so
    that a step which is captured in a CUDA graph, `prepare` left out, sees it change.

    Attributes:
        num_samples: latents drawn of each image's posterior, K.
        whole_training: the argument by which a schedule takes the whole training, whose length must be known; or empty.
        trains_likelihood: whether parameters that are the likelihood's own get gradients, besides the decoder's.
        needs_likelihood: whether it weighs samples by p(x|z), for which a measure of another kind can't stand in.
        needs_continuous: whether latents must be continuous, for of codes the rate is a constant.
        needs_density: whether q(z|x) must have a density, as for a rate.
        differentiates_twice: whether its loss has a gradient of the model in it, which a compiled model can't give.
    """

    num_samples: int = 1
    whole_training: str = ""
    trains_likelihood: ClassVar[bool] = True
    needs_likelihood: ClassVar[bool] = False
    needs_continuous: ClassVar[bool] = False
    needs_density: ClassVar[bool] = True
    differentiates_twice: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(_prepare, with_kwargs=True)

    def why_not(self, vae: LatentModel) -> str | None:
        """Why it can't train this model and what to choose instead, "needs ...; choose ..."; None where it can."""
        return None

    def prepare(self, progress: Progress) -> None:
        """Called before each forward pass, which it is no part of."""
        return

    @abstractmethod
    def forward(self, output: VAEOutput, x: Float[Tensor, "B C H W"], progress: Progress) -> Terms:
        """The terms of a batch, per image; `VAEModule` takes the mean of their loss."""

    def after_step(self, terms: Terms) -> None:
        """Called after each optimizer step with the terms of its last batch, to change the objective's own state."""
        return

    def schedules(self, progress: Progress) -> dict[str, float]:
        """The scheduled values of a step, by the name they are logged under."""
        return {}


def _prepare(objective: Objective, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    objective.prepare(args[2] if len(args) > 2 else kwargs["progress"])


def with_penalties(terms: Terms, output: VAEOutput) -> Terms:
    """The terms with what the model itself asks of training, whatever the objective: see `Group.penalty`."""
    penalties = [group.penalty for group in output.groups if group.penalty is not None]
    if not penalties:
        return terms
    penalty = functools.reduce(operator.add, penalties)
    return replace(terms, loss=terms.loss + penalty, extra=terms.extra | {"penalty": penalty})


def with_rates_of_groups(terms: Terms, output: VAEOutput) -> Terms:
    """The terms with the rate of each group of a hierarchy, `rate_group_1` the top one's; they sum to the rate."""
    if len(output.groups) == 1 or not output.has_density:
        return terms
    digits = len(str(len(output.groups)))
    rates = {f"rate_group_{number:0{digits}d}": group.rate() for number, group in enumerate(output.groups, 1)}
    return replace(terms, extra=terms.extra | rates)


def distortion(log_likelihood: Float[Tensor, "K B"]) -> Float[Tensor, " B"]:
    """-E_q log p(x|z) of `output.likelihood.log_prob(x)`, the mean over the K samples."""
    return mean_of_samples(-log_likelihood)


def rate(output: VAEOutput) -> Float[Tensor, " B"]:
    """The sum over the groups of KL(q(z_l | z_<l, x) || p(z_l | z_<l)), each in closed form where there is one."""
    return functools.reduce(operator.add, [group.rate() for group in output.groups])


def rate_if_any(output: VAEOutput) -> Float[Tensor, " B"] | None:
    """The same, or None where q(z|x) has no density."""
    return rate(output) if output.has_density else None


def log_weight(output: VAEOutput, log_likelihood: Float[Tensor, "K B"]) -> Float[Tensor, "K B"]:
    """log p(x|z) + log p(z) - log q(z|x) of each sample, `log_likelihood` being `output.likelihood.log_prob(x)`."""
    weight = log_likelihood
    for group in output.groups:  # in this order: figures are recorded to the last bit
        weight = weight + group.prior.log_prob(group.z) - group.posterior.log_prob(group.z)
    return weight


def importance_weighted_bound(log_weight: Float[Tensor, "K B"]) -> Float[Tensor, " B"]:
    """log 1/K sum_k w_k <= log p(x) in expectation: the sampled ELBO at K = 1, and tighter the larger K is.

    Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, arXiv 1509.00519.
    """
    return log_weight.logsumexp(0) - math.log(len(log_weight))


def several_groups(vae: LatentModel) -> str | None:
    """The reason against a model of several groups of latents, where one's posterior depends on samples of others."""
    if vae.num_groups == 1:
        return None
    return (
        f"needs one group of latents, and {type(vae).__name__} has {vae.num_groups}; choose another model or objective"
    )


def no_marginals(vae: LatentModel, wants: str) -> str | None:
    """The reason against a posterior of which moments and single dimensions are not known, as of a flow."""
    posterior = getattr(vae, "posterior", None)
    if getattr(posterior, "has_marginals", True):
        return None
    return (
        f"needs {wants} of q(z|x), which of a {type(posterior).__name__} are not known; choose another model/posterior"
    )


def untrained_weights(vae: LatentModel, instead: str) -> str | None:
    """The reason against a prior whose own samples can't train it: the choice of a component passes no gradient on."""
    prior: Any = getattr(vae, "prior", None)
    if prior is None or getattr(prior, "needs_encoder", False):  # a VampPrior's weights are equal
        return None
    made = prior()
    if not isinstance(made, NormalMixture) or not made.weights.logits.requires_grad:
        return None
    return f"does not train the weights of a {type(prior).__name__}; choose another model/prior, or {instead}"
