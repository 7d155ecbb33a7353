"""Trains one case with one contender: python -m benchmarks.contenders handwritten mlp 128 3 32-true.

Each epoch waits for a line on stdin (see `turns`): `yes | ...` lets them follow one another.
"""

import importlib
import sys

from benchmarks.contenders.cases import CASES
from benchmarks.contenders.turns import Turns

if __name__ == "__main__":
    contender, case, batch_size, num_epochs, precision = sys.argv[1:]
    module = importlib.import_module(f"benchmarks.contenders.{contender}")
    module.train(CASES[case], int(batch_size), int(num_epochs), precision, Turns())
