"""How the learning rate changes in training: functions of the progress, 0 at the first step and 1 after the last.

Each gives a factor of `optimizer.lr`. A function of the progress alone fits any number of epochs and needs no state.
"""

import math

_STAGES = 8


class Exponential:
    """final_factor ** progress: by the same factor at every step.

    Raises:
        ValueError: a final_factor that is not positive.
    """

    def __init__(self, final_factor: float = 0.1):
        if final_factor <= 0:
            raise ValueError(f"final_factor must be positive, got {final_factor}")
        self.final_factor = final_factor

    def __call__(self, progress: float) -> float:
        return self.final_factor**progress


class Cosine:
    """Half a cosine from 1 down to `final_factor` (Loshchilov & Hutter, arXiv 1608.03983), after a linear warm-up.

    Args:
        final_factor: what is left at the end.
        warmup: the part of training over which it first rises from 0.

    Raises:
        ValueError: a negative final_factor, or a warmup outside of [0, 1).
    """

    def __init__(self, final_factor: float = 0.0, warmup: float = 0.0):
        if final_factor < 0:
            raise ValueError(f"final_factor must be at least 0, got {final_factor}")
        if not 0 <= warmup < 1:
            raise ValueError(f"warmup must lie in [0, 1), got {warmup}")
        self.final_factor = final_factor
        self.warmup = warmup

    def __call__(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        turn = math.pi * (progress - self.warmup) / (1 - self.warmup)
        return self.final_factor + (1 - self.final_factor) * (1 + math.cos(turn)) / 2


class Burda:
    """Eight stages i = 0..7 of 3^i parts of training each, at 10^(-i/7): of 3,280 epochs 1, 3, 9, ... 2,187.

    Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, arXiv 1509.00519, section 5.
    """

    def __call__(self, progress: float) -> float:
        parts = progress * (3**_STAGES - 1) / 2
        ends = [(3 ** (stage + 1) - 1) / 2 for stage in range(_STAGES - 1)]
        return 10 ** (-sum(parts >= end - 1e-6 for end in ends) / (_STAGES - 1))
