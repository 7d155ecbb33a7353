"""The hand-written loop with what vae_lightning sets for the whole process on a CPU: what its loop alone costs."""

from benchmarks.contenders import handwritten
from benchmarks.contenders.cases import Case
from benchmarks.contenders.turns import Turns
from vae_lightning.machine.hardware import flush_denormals, keep_freed_memory


def train(case: Case, batch_size: int, num_epochs: int, precision: str, turns: Turns) -> None:
    """Train an epoch a turn; precision is "32-true" or "bf16-mixed"."""
    flush_denormals()
    keep_freed_memory()
    handwritten.train(case, batch_size, num_epochs, precision, turns)
