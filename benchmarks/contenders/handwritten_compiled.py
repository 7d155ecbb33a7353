"""The hand-written loop compiled by torch.compile, and then captured as one CUDA graph."""

from benchmarks.contenders import handwritten_captured
from benchmarks.contenders.cases import Case
from benchmarks.contenders.turns import Turns


def train(case: Case, batch_size: int, num_epochs: int, precision: str, turns: Turns) -> None:
    """Train an epoch a turn; precision is "32-true" or "bf16-mixed"."""
    handwritten_captured.train(case, batch_size, num_epochs, precision, turns, compiled=True)
