"""Images per second of this project's training beside other ways to train the same network: make bench.

    python -m benchmarks.throughput --cases mlp conv5 --repeats 5

Every contender trains in a fresh process, one at a time and in turns. An epoch's speed is that of its training part;
the first epoch is left out. vae_lightning runs with everything on that is on by default. What is compared are the
medians over the repeats. The recorded results are in README.md beside this file.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch
from tabulate import tabulate

from benchmarks.contenders.cases import CASES
from vae_lightning.hardware import native_precision

HERE = Path(__file__).parent
OURS = "vae_lightning"
# Title, module in contenders/, whether it takes the precision that vae_lightning is at (the peers have their default).
CONTENDERS = {
    OURS: ("ours", True),
    "hand-written loop": ("handwritten", True),
    "the loop, keeping memory": ("handwritten_keeping_memory", True),
    "Lightning tutorial": ("tutorial", False),
    "pythae": ("pythae_trainer", False),
}
EPOCHS = {"mlp": 3, "conv5": 2, "upsample": 2}

Run = tuple[str, str, int, str]  # contender, case, batch size, precision


def measure(run: Run) -> float:
    """Images per second of one training, over its epochs after the first."""
    contender, case, batch_size, precision = run
    command = [sys.executable, "-m", "benchmarks.contenders", contender, case, str(batch_size), str(EPOCHS[case])]
    done = subprocess.run([*command, precision], capture_output=True, text=True, cwd=HERE.parent)
    if done.returncode:
        sys.exit(f"{contender} on {case} failed:\n{done.stderr}")
    rates = json.loads(done.stdout.splitlines()[-1])[1:]
    return len(rates) / sum(1 / rate for rate in rates)  # epochs are equally long


def run_of(title: str, case: str, batch_size: int, precision: str) -> Run:
    """What a contender does where vae_lightning trains at a precision."""
    module, same_precision = CONTENDERS[title]
    return module, case, batch_size, precision if same_precision else "32-true"


def measured(runs: list[Run], repeats: int) -> dict[Run, list[float]]:
    """All runs in turns, each so many times; every second round goes backwards."""
    rates: dict[Run, list[float]] = {run: [] for run in runs}
    for repeat in range(repeats):
        for run in runs if repeat % 2 == 0 else runs[::-1]:
            rates[run].append(measure(run))
            print(f"{repeat + 1}/{repeats}  {' '.join(map(str, run)):<50}{rates[run][-1]:>10.0f} images/s", flush=True)
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
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=HERE / "throughput.json")
    options = parser.parse_args()
    precisions = dict.fromkeys(["32-true", native_precision("auto")])
    cases = list(itertools.product(options.cases, options.batch_sizes, precisions))
    titles = dict.fromkeys([OURS, *options.contenders])
    rates = measured(list(dict.fromkeys(run_of(title, *case) for case in cases for title in titles)), options.repeats)
    header = ["case", "batch", "precision", "images/s", *(f"/ {title}" for title in list(CONTENDERS)[1:])]
    print(tabulate(rows(rates, cases), header, tablefmt="github", disable_numparse=True))
    record = environment() | {"images_per_s": {" ".join(map(str, run)): values for run, values in rates.items()}}
    options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
