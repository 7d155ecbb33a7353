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

    Raises:
        ValueError: no batch to a step, a negative limit, or no step that may be dropped.
    """

    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    on_nan: Literal["stop", "skip"] = "stop"
    max_skipped: int = 100

    def __post_init__(self) -> None:
        require_at_least("accumulate_grad_batches", self.accumulate_grad_batches, 1)
        require_at_least("gradient_clip_val", self.gradient_clip_val or 0, 0)
        require_at_least("max_skipped", self.max_skipped, 1)

    def clip(self, parameters: Iterable[Tensor]) -> None:
        """Clip their gradients in place."""
        if not self.gradient_clip_val:
            return
        clip = clip_grad_norm_ if self.gradient_clip_algorithm == "norm" else clip_grad_value_
        clip(parameters, self.gradient_clip_val)
