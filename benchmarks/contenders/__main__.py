"""Trains one case with one contender in this process: python -m benchmarks.contenders handwritten mlp 128 3 32-true.

The last line printed is a list, the images per second of each epoch.
"""

import importlib
import json
import sys

from benchmarks.contenders.cases import CASES

if __name__ == "__main__":
    contender, case, batch_size, num_epochs, precision = sys.argv[1:]
    module = importlib.import_module(f"benchmarks.contenders.{contender}")
    print(json.dumps(module.train(CASES[case], int(batch_size), int(num_epochs), precision)))
