"""How a weight or a limit rises as training goes on: numbers of the host, functions of the optimizer step."""

import math
from typing import Literal, get_args

from vae_lightning.errors import require_at_least, require_choice

Schedule = Literal["constant", "linear", "cosine", "cyclical"]


class Rise:
    """The share, in [0, 1], of a scheduled value at an optimizer step.

    With T steps, `num_steps`, or those of the whole training where that is 0, at step t = 0, 1, ...:

        constant   linear over `num_steps`, where 0 is no rise at all but 1 throughout
        linear     min(1, (t + 1) / T) (Bowman et al., arXiv 1511.06349)
        cosine     (1 - cos(pi * linear)) / 2: slow at both ends
        cyclical   T is divided into `num_cycles` cycles; in each it rises linearly over the first `rising` share and
                   stays at 1 for the rest; after T steps it is 1 (Fu et al., arXiv 1903.10145)

    Raises:
        ValueError: an unknown schedule, a num_cycles below 1, or a rising outside (0, 1].
    """

    def __init__(self, schedule: Schedule, num_steps: int, num_cycles: int = 4, rising: float = 0.5):
        require_choice("schedule", schedule, get_args(Schedule))
        require_at_least("num_cycles", num_cycles, 1)
        if not 0 < rising <= 1:
            raise ValueError(f"rising must lie in (0, 1], got {rising}")
        self._shape = _SHAPES[schedule]
        self._num_steps = num_steps
        self._num_cycles, self._rising = num_cycles, rising
        self.takes_whole_training = schedule != "constant" and num_steps == 0

    def at(self, step: int, length: int = 0) -> float:
        """The share at a step of a training of so many steps; at the end of one whose length is not known (0)."""
        num_steps = length if self.takes_whole_training else self._num_steps
        return self._shape(step, num_steps, self._num_cycles, self._rising) if num_steps > 0 else 1.0


def linear_warmup(step: int, num_steps: int) -> float:
    """Rises from 1/num_steps at step 0 to 1 at step num_steps - 1 and stays there; 1 throughout for num_steps = 0."""
    return min(1.0, (step + 1) / num_steps) if num_steps > 0 else 1.0


def _linear(step: int, num_steps: int, num_cycles: int, rising: float) -> float:
    return linear_warmup(step, num_steps)


def _cosine(step: int, num_steps: int, num_cycles: int, rising: float) -> float:
    return (1 - math.cos(math.pi * linear_warmup(step, num_steps))) / 2


def _cyclical(step: int, num_steps: int, num_cycles: int, rising: float) -> float:
    if step >= num_steps:
        return 1.0
    # In num_cycles-ths of a step, which are whole numbers: a quotient of floats misses the first step of some cycle.
    since = step * num_cycles % num_steps
    return min(1.0, (since + num_cycles) / (rising * num_steps))


_SHAPES = {"constant": _linear, "linear": _linear, "cosine": _cosine, "cyclical": _cyclical}
