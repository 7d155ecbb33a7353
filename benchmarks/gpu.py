"""Everything that is measured on an NVIDIA GPU, on a bare machine without network: make bench-gpu WHEELS=<folder>.

    python -m benchmarks.gpu --epochs 7

Training: this project (captured, eager, compiled and captured) beside a hand-written loop (likewise), taking turns
epoch by epoch as in `throughput`; this project runs with everything on that is on by default. VAE_LIGHTNING_DATA holds
MNIST and anime-faces, of which 4,000 will do.
Then a whole command with its pictures and without, and log-likelihoods. All goes to gpu.json, and a table is printed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from benchmarks.contenders.cases import CASES
from benchmarks.throughput import Run, environment, measured
from vae_lightning.metrics.log_likelihood import LogLikelihood
from vae_lightning.runs.trained import open_trained

HERE = Path(__file__).parent
CONTENDERS = {
    "captured": "ours",
    "eager": "ours_eager",
    "compiled": "ours_compiled",
    "loop, eager": "handwritten",
    "loop, captured": "handwritten_captured",
    "loop, compiled": "handwritten_compiled",
}
_FACES = 30_000
_PARTS = ("commands", "training")
_PLAN = {  # case and batch size: who is measured
    ("mlp", 128): tuple(CONTENDERS),
    ("conv5_long", 128): ("captured", "eager", "loop, eager", "loop, captured"),
    ("mlp", 1024): ("captured", "eager", "loop, captured"),
    ("conv5_long", 1024): ("captured", "eager", "loop, captured"),
    ("ladder", 1024): ("captured", "eager"),
    ("upsample", 128): ("captured", "eager", "loop, captured"),
}


def trained(num_epochs: int, precision: str) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Images per second of each epoch of the contenders, case by case."""
    for (case, batch_size), titles in _PLAN.items():
        runs: dict[str, Run] = {title: (CONTENDERS[title], case, batch_size, precision) for title in titles}
        rates = measured(list(runs.values()), num_epochs)
        yield f"{case} {batch_size}", {title: rates[run] for title, run in runs.items()}


def rows(rates: dict[str, dict[str, list[float]]]) -> list[list[str]]:
    """A row a case: medians, and this project's captured step beside the others."""
    table = []
    for case, of in rates.items():
        median = {title: statistics.median(values) for title, values in of.items()}
        ratios = [f"{median['captured'] / median[title]:.2f}" if title in median else "" for title in CONTENDERS][1:]
        table.append([case, f"{median['captured']:,.0f}", *ratios])
    return table


def whole_commands(folder: Path) -> dict[str, float]:
    """Seconds of 20 epochs of the MLP as a command, with the default callbacks and without any."""
    seconds = {}
    for callbacks in ("default", "none"):
        command = [sys.executable, "-m", "vae_lightning.train", *CASES["mlp"].overrides]
        command += [f"callbacks={callbacks}", "trainer.max_epochs=20", f"run_dir={folder / callbacks}"]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds[callbacks] = time.perf_counter() - started
    return seconds


def likelihoods(path: Path) -> dict[str, float]:
    """Images per second whose log-likelihood is estimated by K = 5,000 samples, and their mean NLL in nats."""
    run = open_trained(str(path), device="cuda")
    images = run.data.images_at(torch.arange(2000), "test")
    x = (images.images.float() / 255).cuda()
    sampled = LogLikelihood(num_samples=5000).sampler(run.vae, run.data.image_shape, 0, "test", 5000)
    list(sampled(x[:100], images.indices[:100], None))
    started = time.perf_counter()
    found = torch.cat([bounds.log_likelihood for _, bounds in sampled(x, images.indices, None)])
    return {"images_per_s": len(x) / (time.perf_counter() - started), "nll": -float(found.mean())}


@contextmanager
def many_faces() -> Iterator[None]:
    """Have the folder of faces hold as many as a long epoch takes: each one linked several times."""
    data = Path(os.environ["VAE_LIGHTNING_DATA"]).resolve()
    faces = sorted((data / "anime-faces").glob("*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "anime-faces"
        place.mkdir()
        (Path(folder) / "MNIST").symlink_to(data / "MNIST")
        for copy in range(-(-_FACES // len(faces))):
            for face in faces:
                (place / f"{copy}_{face.name}").symlink_to(face)
        os.environ["VAE_LIGHTNING_DATA"] = folder
        yield
    os.environ["VAE_LIGHTNING_DATA"] = str(data)


def main() -> None:
    """Measure all, print the table, write gpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--output", type=Path, default=HERE / "gpu.json")
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("benchmarks.gpu: there is no NVIDIA GPU here")
    record: dict[str, Any] = environment() | {"images_per_s": {}}
    if "commands" in options.parts:
        with tempfile.TemporaryDirectory() as folder:
            record["seconds_of_20_epochs"] = whole_commands(Path(folder))
            record["likelihood"] = likelihoods(Path(folder) / "none")
        print(json.dumps(record["seconds_of_20_epochs"]), json.dumps(record["likelihood"]), flush=True)
    if "training" not in options.parts:
        options.output.write_text(json.dumps(record, indent=2) + "\n")
        return
    with many_faces():
        for case, rates in trained(options.epochs, "bf16-mixed"):
            record["images_per_s"][case] = rates
            options.output.write_text(json.dumps(record, indent=2) + "\n")  # so much, whatever becomes of the rest
    header = ["case", "captured, images/s", *(f"/ {title}" for title in list(CONTENDERS)[1:])]
    print(tabulate(rows(record["images_per_s"]), header, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
