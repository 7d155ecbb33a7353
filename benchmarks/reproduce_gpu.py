"""The six cells of Burda et al.'s Table 1 (MNIST, one stochastic layer) on one NVIDIA GPU: make reproduce-gpu.

    python -m benchmarks.reproduce_gpu --cells vae_k50 iwae_k50 --jobs 2 --seconds 480

Each cell is `experiment=iwae_table1/<cell> schedule=short`, its steps captured, in a process of its own, `--jobs` of
them at a time; those share the GPU by NVIDIA's MPS where the machine has it, else they take turns on it. Then its NLL
is estimated by 5,000 samples of all 10,000 test images. What has not ended after `--seconds` is ended, and said to
be so. VAE_LIGHTNING_DATA holds MNIST. All goes to reproduce_gpu.json after each cell, and a table is printed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from benchmarks.throughput import environment

HERE = Path(__file__).parent
PAPER = {  # NLL of arXiv 1509.00519, Table 1; those that take longest first
    "iwae_k50": 84.78,
    "vae_k50": 86.35,
    "vae_k5": 86.47,
    "iwae_k5": 85.54,
    "vae_k1": 86.76,
    "iwae_k1": 86.76,
}
_FIGURES = ("nll", "nll_stderr", "elbo", "active_units")
_HIT = 0.3  # nats
_CLOSING_S = 20  # that a process is given to end


def cell(name: str, folder: Path, options: argparse.Namespace, deadline: float) -> dict[str, Any]:
    """Train and evaluate one cell; what it gave, or where it ended."""
    run, started = folder / name, time.monotonic()
    train = [f"experiment=iwae_table1/{name}", "schedule=short", f"trainer.max_epochs={options.epochs}"]
    train += ["callbacks=none", "logger=none", "trainer.capture=true", *options.overrides]
    failed = _failed(["vae_lightning.train", *train, f"run_dir={run}"], folder / f"{name}.log", deadline)
    if failed:
        return {"failed": failed, "seconds": time.monotonic() - started}
    trained = time.monotonic()
    evaluate = [f"run={run}", "ckpt=last", "metrics=[elbo,nll,units]", f"nll.num_samples={options.num_samples}"]
    evaluate += [f"out={folder / f'{name}.json'}"]
    failed = _failed(["vae_lightning.evaluate", *evaluate], folder / f"{name}_nll.log", deadline)
    if failed:
        return {"failed": failed, "seconds": time.monotonic() - started}
    record = json.loads((folder / f"{name}.json").read_text())
    return {
        "command": "python -m vae_lightning.train " + " ".join(train),
        "train_seconds": trained - started,
        "nll_seconds": time.monotonic() - trained,
        "figures": {name: record[f"test/{name}"] for name in _FIGURES},
    }


def _failed(module_and_arguments: list[str], log: Path, deadline: float) -> str:
    """Run a module to its end; why it came to no good one in time, or nothing."""
    with log.open("w") as output:
        command = [sys.executable, "-m", *module_and_arguments]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            is_good = process.wait(max(0.0, deadline - time.monotonic())) == 0
        except subprocess.TimeoutExpired:
            _end(process)
            return f"{module_and_arguments[0]} was not done in time"
    lines = log.read_text().strip().splitlines()
    return "" if is_good else (lines or [f"{module_and_arguments[0]} failed without a word"])[-1]


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(_CLOSING_S)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def shared_gpu(folder: Path) -> Iterator[bool]:
    """Let processes compute side by side on the GPU, where the machine has NVIDIA's MPS; whether it has."""
    control = shutil.which("nvidia-cuda-mps-control")
    places = {"CUDA_MPS_PIPE_DIRECTORY": str(folder / "mps"), "CUDA_MPS_LOG_DIRECTORY": str(folder / "mps_log")}
    for place in places.values():
        Path(place).mkdir()
    started = control and subprocess.run([control, "-d"], env=os.environ | places, check=False).returncode == 0
    if not started:
        yield False
        return
    os.environ.update(places)
    try:
        yield True
    finally:
        subprocess.run([control], input="quit\n", text=True, check=False, timeout=_CLOSING_S)
        for name in places:
            del os.environ[name]


def rows(cells: dict[str, dict[str, Any]]) -> list[list[str]]:
    """A row a cell: the paper's NLL, this one with its standard error, hit or miss, and the time it took."""
    table = []
    for name, found in cells.items():
        if "failed" in found:
            table.append([name, f"{PAPER[name]:.2f}", found["failed"], "", f"{found['seconds']:.0f}"])
            continue
        nll, error = found["figures"]["nll"], found["figures"]["nll_stderr"]
        held = "hit" if abs(nll - PAPER[name]) <= max(_HIT, 2 * error) else "miss"
        told = f"{nll:.2f} +- {error:.2f}"
        table.append([name, f"{PAPER[name]:.2f}", told, held, f"{found['train_seconds']:.0f}"])
    return table


def main() -> None:
    """Train all, print the table, write reproduce_gpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=list(PAPER), default=list(PAPER))
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=460)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--num-samples", type=int, default=5000)
    parser.add_argument("--overrides", nargs="+", default=[], help="further overrides of the training")
    parser.add_argument("--output", type=Path, default=HERE / "reproduce_gpu.json")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("benchmarks.reproduce_gpu: there is no NVIDIA GPU here")
    deadline = time.monotonic() + options.seconds
    record: dict[str, Any] = environment() | {"epochs": options.epochs, "jobs": options.jobs, "cells": {}}
    with tempfile.TemporaryDirectory() as folder, shared_gpu(Path(folder)) as side_by_side:
        record["mps"] = side_by_side
        with ThreadPoolExecutor(options.jobs) as pool:
            made = {name: pool.submit(cell, name, Path(folder), options, deadline) for name in options.cells}
            for name, result in made.items():
                record["cells"][name] = result.result()
                options.output.write_text(json.dumps(record, indent=2) + "\n")
                print(name, rows({name: record["cells"][name]})[0][2:], flush=True)
    header = ["cell", "NLL, paper", "NLL, ours", "", "s of training"]
    print(tabulate(rows(record["cells"]), header, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
