"""The place of a figure or picture on TensorBoard's step axis."""

from lightning.pytorch import Trainer


def current_step(trainer: Trainer) -> int:
    """The number of the last optimizer step, counted from 0 as Lightning counts when it logs; 0 before the first."""
    return max(trainer.global_step - 1, 0)
