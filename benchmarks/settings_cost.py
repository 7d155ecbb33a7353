"""What the default callbacks and loggers, and averaging the weights, cost while an epoch trains.

    python -m benchmarks.settings_cost --cases mlp conv5 --epochs 9

Each setting trains in a process of its own, and they take turns epoch by epoch, as in throughput.py. What is drawn
after an epoch is not in these figures; picture_cost.py has it.
"""

import argparse
import statistics

from benchmarks.contenders.cases import CASES
from benchmarks.throughput import environment, measured
from vae_lightning.machine.hardware import native_precision

SETTINGS = {"defaults": "ours", "averaging=ema": "ours_ema", "callbacks=none logger=none": "ours_bare"}


def main() -> None:
    """Measure, and print the median of each setting and its ratio to the defaults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=["mlp", "conv5"])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=9)
    options = parser.parse_args()
    print(environment())
    for case in options.cases:
        runs = {name: (module, case, options.batch_size, native_precision("auto")) for name, module in SETTINGS.items()}
        rates = measured(list(runs.values()), options.epochs)
        medians = {name: statistics.median(rates[run]) for name, run in runs.items()}
        for name, median in medians.items():
            print(f"{case:<8}{name:<28}{median:>9,.0f} images/s  {median / medians['defaults']:.3f}")


if __name__ == "__main__":
    main()
