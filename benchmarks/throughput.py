"""Images per second of this project's training beside other ways to train the same network: make bench.

    python -m benchmarks.throughput --cases mlp conv5 --epochs 9

Every contender trains in a process of its own, and they take turns epoch by epoch: one trains, the others wait. The
first epoch of each is left out. vae_lightning runs with everything on that is on by default. What is compared are the
medians over the epochs. The recorded results are in README.md beside this file.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import torch
from tabulate import tabulate

from benchmarks.contenders.cases import CASES
from benchmarks.contenders.turns import Contender
from vae_lightning.machine.hardware import native_precision

HERE = Path(__file__).parent
OURS = "vae_lightning"
# Title, module in contenders/, whether it takes the precision that vae_lightning is at (the peers have their default).
CONTENDERS = {
    OURS: ("ours", True),
    "hand-written loop": ("handwritten", True),
    "the loop, as we set the CPU": ("handwritten_tuned", True),
    "Lightning tutorial": ("tutorial", False),
    "pythae": ("pythae_trainer", False),
}

Run = tuple[str, str, int, str]  # contender, case, batch size, precision


def run_of(title: str, case: str, batch_size: int, precision: str) -> Run:
    """What a contender does where vae_lightning trains at a precision."""
    module, same_precision = CONTENDERS[title]
    return module, case, batch_size, precision if same_precision else "32-true"


def measured(runs: list[Run], num_epochs: int) -> dict[Run, list[float]]:
    """Images per second of so many epochs of each run, after a first one; every second round goes backwards."""
    contenders = {run: Contender(*run[:3], num_epochs + 1, run[3]) for run in runs}
    with ThreadPoolExecutor() as pool:  # starting up, compiling and the first epoch are no one else's time
        list(pool.map(Contender.first_epoch, contenders.values()))
    rates: dict[Run, list[float]] = {run: [] for run in runs}
    for epoch in range(num_epochs):
        for run in runs if epoch % 2 == 0 else runs[::-1]:
            rates[run].append(contenders[run].epoch())
            print(f"{epoch + 1}/{num_epochs}  {contenders[run].name:<46}{rates[run][-1]:>9.0f} images/s", flush=True)
    return rates


def rows(rates: dict[Run, list[float]], cases: list[tuple[str, int, str]]) -> list[list[str]]:
    """A row a case: vae_lightning's speed, and its ratio to each of the others."""
    table = []
    for case, batch_size, precision in cases:
        median = {
            title: statistics.median(rates[run_of(title, case, batch_size, precision)])
            for title in CONTENDERS
            if run_of(title, case, batch_size, precision) in rates
        }
        ratios = [f"{median[OURS] / median[title]:.2f}" if title in median else "" for title in CONTENDERS][1:]
        table.append([CASES[case].title, str(batch_size), precision, f"{median[OURS]:,.0f}", *ratios])
    return table


def environment() -> dict[str, str]:
    """What the figures depend on."""
    import lightning

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{_cpu()}, {os.cpu_count()} cores"
    versions = {"python": platform.python_version(), "torch": torch.__version__, "lightning": lightning.__version__}
    return {"date": date.today().isoformat(), "device": device, **versions}


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    """Measure, print the table, and write what was measured to throughput.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=["mlp", "conv5"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[128])
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--output", type=Path, default=HERE / "throughput.json")
    options = parser.parse_args()
    precisions = dict.fromkeys(["32-true", native_precision("auto")])
    cases = list(itertools.product(options.cases, options.batch_sizes, precisions))
    titles = dict.fromkeys([OURS, *options.contenders])
    rates: dict[Run, list[float]] = {}
    for name, size in itertools.product(options.cases, options.batch_sizes):  # not all at once: each keeps its memory
        runs = [run_of(title, name, size, precision) for precision in precisions for title in titles]
        rates |= measured(list(dict.fromkeys(runs)), options.epochs)
    header = ["case", "batch", "precision", "images/s", *(f"/ {title}" for title in list(CONTENDERS)[1:])]
    print(tabulate(rows(rates, cases), header, tablefmt="github", disable_numparse=True))
    record = environment() | {"images_per_s": {" ".join(map(str, run)): values for run, values in rates.items()}}
    options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
