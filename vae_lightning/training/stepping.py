"""What an optimizer step is made of."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from vae_lightning.errors import require_at_least


@dataclass(frozen=True)
class Stepping:
    """How batches become optimizer steps; Lightning leaves this to a module that takes its steps itself.

    Attributes:
        accumulate_grad_batches: batches to a step; at the end of an epoch what is left makes one.
        gradient_clip_val: the gradients' largest norm, or value if that is the algorithm; None or 0 for no clipping.
        on_nan: whether a loss or a gradient that is not finite ends the training, or the step is dropped: `finiteness`.
        max_skipped: how many steps dropped in a row end the training.
        skip_gradient_norm: a step is dropped whose gradient has a larger norm, before clipping; None: none is.

    Raises:
        ValueError: no batch to a step, a negative limit, no step that may be dropped, or a norm that drops all of them.
    """

    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    on_nan: Literal["stop", "skip"] = "stop"
    max_skipped: int = 100
    skip_gradient_norm: float | None = None

    def __post_init__(self) -> None:
        require_at_least("accumulate_grad_batches", self.accumulate_grad_batches, 1)
        require_at_least("gradient_clip_val", self.gradient_clip_val or 0, 0)
        require_at_least("max_skipped", self.max_skipped, 1)
        if self.skip_gradient_norm is not None and not self.skip_gradient_norm > 0:
            raise ValueError(f"skip_gradient_norm must be above 0, or null, got {self.skip_gradient_norm}")

    @property
    def skips(self) -> bool:
        """Whether a step may be dropped."""
        return self.on_nan == "skip" or self.skip_gradient_norm is not None

    def clip(self, parameters: Iterable[Tensor]) -> None:
        """Clip their gradients in place."""
        if not self.gradient_clip_val:
            return
        parameters = [each for each in parameters if each.grad is not None]
        if not parameters:  # those of a step that is dropped may be gone
            return
        clip = clip_grad_norm_ if self.gradient_clip_algorithm == "norm" else clip_grad_value_
        clip(parameters, self.gradient_clip_val)
