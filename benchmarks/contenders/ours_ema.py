"""The train command of this project with a moving average of the weights."""

from benchmarks.contenders import ours
from benchmarks.contenders.cases import Case
from benchmarks.contenders.turns import Turns


def train(case: Case, batch_size: int, num_epochs: int, precision: str, turns: Turns) -> None:
    """Train an epoch a turn; precision as `trainer.precision`."""
    ours.train(case, batch_size, num_epochs, precision, turns, "averaging=ema")
