"""The hand-written loop with the one setting of malloc that vae_lightning makes: what its loop alone costs."""

from benchmarks.contenders import handwritten
from benchmarks.contenders.cases import Case
from vae_lightning.hardware import keep_freed_memory


def train(case: Case, batch_size: int, num_epochs: int, precision: str) -> list[float]:
    """Images per second of each epoch; precision is "32-true" or "bf16-mixed"."""
    keep_freed_memory()
    return handwritten.train(case, batch_size, num_epochs, precision)
