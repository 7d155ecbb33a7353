"""Autoregressive flows over latents, of zuko's masked networks and transformations."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from vae_lightning.errors import UserError, require_at_least, require_at_most
from vae_lightning.models.distributions import DiagonalNormal, at_least_float32, held_fixed
from vae_lightning.models.pushed import Pair, PushedNormal

Kind = Literal["affine", "spline"]
_MOST_STEPS = 100  # each is a network: a stranger's config must not ask for more than can be made
_VALUES = 2**22  # parameters of transformations at a time where no gradient is wanted: 16 MB of float32


class Step(nn.Module):
    """y_d = g(x_d; parameters of x_<d and of a context), in ascending or descending order of the dimensions.

    The parameters are b + a * (what the network puts out), with a and b learned and zero at the start, where g is
    the identity. However weights are initialized, it stays so.

    Args:
        num_dims: D.
        num_context: the context's width; 0 for none.
        hidden: widths of the network's hidden layers.
        kind: "affine", y = e^a x + b with e^a from 1/1000 to 1000, or "spline", rational-quadratic on [-5, 5] and the
            identity beyond.
        bins: of a spline.
        descending: the order.
    """

    def __init__(self, num_dims: int, num_context: int, hidden: Sequence[int], kind: Kind, bins: int, descending: bool):
        super().__init__()
        zuko = library("model/prior=flow and model/posterior=flow")
        self._map: Callable[..., Any] = zuko.transforms.MonotonicAffineTransform
        self._sizes = [1, 1]
        if kind == "spline":
            self._map, self._sizes = zuko.transforms.MonotonicRQSTransform, [bins, bins, bins - 1]
        self._is_affine = kind == "affine"
        shape = num_dims, sum(self._sizes)
        self.bias = nn.Parameter(torch.zeros(shape))
        self.net: nn.Module | None = None
        if num_context > 0 or num_dims > 1:  # else there is nothing that the parameters could depend on
            order = torch.arange(num_dims).flip(0) if descending else torch.arange(num_dims)
            sees = torch.cat([order[:, None] > order, torch.ones(num_dims, num_context, dtype=torch.bool)], 1)
            self.net = zuko.nn.MaskedMLP(sees.repeat_interleave(shape[1], 0), hidden)
            self.gain = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Float[Tensor, "... D"], context: Float[Tensor, "... C"] | None) -> Pair:
        """y, and log dy_d/dx_d."""
        return self._at(x, context).call_and_ladj(x)

    def inverse(self, y: Float[Tensor, "... D"], context: Float[Tensor, "... C"] | None) -> Pair:
        """x of y, and log dy_d/dx_d there: found dimension by dimension, with D passes through the network."""
        x = torch.zeros_like(y)
        for _ in range(y.shape[-1] if self.net is not None else 1):
            x = self._at(x, context).inv(y)
        return x, self._at(x, context).call_and_ladj(x)[1]

    def _at(self, x: Float[Tensor, "... D"], context: Float[Tensor, "... C"] | None) -> Any:
        parameters: Tensor = self.bias
        if self.net is not None:
            parameters = parameters + self.gain * self.net(_joined(x, context)).unflatten(-1, self.gain.shape)
        parts = parameters.split(self._sizes, -1)
        return self._map(*(part.squeeze(-1) for part in parts) if self._is_affine else parts)


def _joined(x: Float[Tensor, "... D"], context: Float[Tensor, "... C"] | None) -> Float[Tensor, "... E"]:
    if context is None:
        return x
    batch = torch.broadcast_shapes(x.shape[:-1], context.shape[:-1])
    return torch.cat([x.expand(*batch, -1), context.expand(*batch, -1)], -1)


class Flow(nn.Module):
    """Steps one after the other, the order of the dimensions turned round between them; the identity at the start.

    Args:
        num_dims: D.
        num_context: the context's width; 0 for none.
        num_steps: how many.
        hidden, kind, bins: of each `Step`.

    Raises:
        UserError: zuko is not installed.
        ValueError: no steps or over 100, hidden layers of no width, or a spline of less than two bins.
    """

    def __init__(
        self, num_dims: int, num_context: int, num_steps: int, hidden: Sequence[int], kind: Kind, bins: int = 8
    ):
        super().__init__()
        require_at_least("num_steps", num_steps, 1)
        require_at_most("num_steps", num_steps, _MOST_STEPS)
        require_at_least("bins", bins, 2)
        if len(hidden) == 0 or min(hidden) < 1:
            raise ValueError(f"hidden must be a list of positive widths, got {list(hidden)}")
        self.num_values = num_dims * 3 * bins if kind == "spline" else num_dims * 2
        self.steps = nn.ModuleList(
            Step(num_dims, num_context, hidden, kind, bins, bool(number % 2)) for number in range(num_steps)
        )

    def forward(self, x: Float[Tensor, "... D"], context: Float[Tensor, "... C"] | None = None) -> Pair:
        """Through all steps, with the logarithm of the stretch of each dimension."""
        return self._through(self._steps(), x, context)

    def inverse(self, y: Float[Tensor, "... D"], context: Float[Tensor, "... C"] | None = None) -> Pair:
        """Back through all of them, with the logarithm of the stretch of the way there."""
        return self._through([step.inverse for step in reversed(self._steps())], y, context)

    def _steps(self) -> list[Any]:
        return list(self.steps)

    def _through(self, steps: Sequence[Callable[..., Pair]], values: Tensor, context: Tensor | None) -> Pair:
        total: Any = 0.0
        with torch.autocast(values.device.type, enabled=False):  # half precision can't be inverted
            for step in steps:
                values, stretch = step(values, context)
                total = total + stretch
        return values, total


class FixedFlow(nn.Module):
    """A flow whose own parameters take no gradient; what goes through it does.

    Args:
        flow: whose parameters are used as they are, and not taken for this one's.
    """

    def __init__(self, flow: Flow):
        super().__init__()
        self.num_values = flow.num_values
        self._ways = _Way(flow, flow.forward), _Way(flow, flow.inverse)  # in a tuple, where no module is looked for

    def forward(self, x: Float[Tensor, "... D"], context: Float[Tensor, "... C"] | None = None) -> Pair:
        """As the flow's."""
        return self._ways[0].held_fixed(x, context)

    def inverse(self, y: Float[Tensor, "... D"], context: Float[Tensor, "... C"] | None = None) -> Pair:
        """As the flow's."""
        return self._ways[1].held_fixed(y, context)


class _Way(nn.Module):
    """One direction through a flow, as the one method of a module, whose parameters PyTorch can replace meanwhile."""

    def __init__(self, flow: Flow, way: Callable[..., Pair]):
        super().__init__()
        self.flow, self._way = flow, way

    def forward(self, values: Tensor, context: Tensor | None) -> Pair:
        return self._way(values, context)

    def held_fixed(self, values: Tensor, context: Tensor | None) -> Pair:
        fixed = {name: value.detach() for name, value in self.named_parameters()}
        pair: Pair = functional_call(self, fixed, (values, context))
        return pair


class FlowNormal(PushedNormal):
    """A normal distribution pushed through a flow: batch shape [...], event shape [D].

    One direction of a flow takes one pass through its networks, the other D of them.

    Args:
        base: what is pushed.
        flow: the map, or its inverse.
        context: of the flow, as many as the base has batches.
        is_inverse: whether the flow leads from latents to the base, so that densities are quick and samples slow, as
            for a prior; else samples are quick, as for a posterior (inverse autoregressive, arXiv 1606.04934).
    """

    def __init__(
        self,
        base: DiagonalNormal,
        flow: Flow | FixedFlow,
        context: Float[Tensor, "... C"] | None = None,
        is_inverse: bool = False,
    ):
        self.flow, self.context, self.is_inverse = flow, context, is_inverse
        super().__init__(base)

    def __getitem__(self, rows: slice) -> "FlowNormal":
        """Some of a batch of distributions."""
        context = None if self.context is None else self.context[rows]
        return FlowNormal(self.base[rows], self.flow, context, self.is_inverse)

    def marginals(self) -> None:
        """None: they have no closed form."""

    def push(self, start: Float[Tensor, "... D"]) -> Pair:
        return self._backwards(start) if self.is_inverse else self.flow(start, self.context)

    def pull(self, value: Float[Tensor, "... D"]) -> Pair:
        return self._forwards(value) if self.is_inverse else self.flow.inverse(value, self.context)

    def _backwards(self, start: Tensor) -> Pair:
        value, stretch = self.flow.inverse(start, self.context)
        return value, -stretch

    def _forwards(self, value: Tensor) -> Pair:
        """Of many values without gradients some at a time, for a spline's parameters take memory."""
        if torch.is_grad_enabled() or self.context is not None:
            start, stretch = self.flow(value, self.context)
            return start, -stretch
        rows = value.reshape(-1, value.shape[-1])
        parts = [self.flow(part) for part in rows.split(max(1, _VALUES // self.flow.num_values))]
        start, stretch = (torch.cat(column).reshape(value.shape) for column in zip(*parts, strict=True))
        return start, -stretch


@held_fixed.register
def _held_fixed_flow(distribution: FlowNormal) -> FlowNormal:
    context = None if distribution.context is None else distribution.context.detach()
    flow = FixedFlow(distribution.flow) if isinstance(distribution.flow, Flow) else distribution.flow
    base: Any = held_fixed(distribution.base)
    return FlowNormal(base, flow, context, distribution.is_inverse)


def context_of(layer: nn.Module, features: Float[Tensor, "*B F"]) -> Float[Tensor, "*B C"]:
    """A flow's context, in the precision that it is computed in."""
    return at_least_float32(layer(features))


def library(wanted_by: str) -> Any:
    """Zuko, which is imported where a flow is made and nowhere else.

    Raises:
        UserError: it is not installed, with what is typed to want it.
    """
    try:
        import zuko
    except ImportError as error:
        raise UserError(f'{wanted_by}: zuko is not installed: pip install "vae-lightning[flows]"') from error
    return zuko
