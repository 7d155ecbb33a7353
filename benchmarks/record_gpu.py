"""experiment=hvae_mnist on one NVIDIA GPU, trained and evaluated within minutes: make record-gpu.

    python -m benchmarks.record_gpu --seconds 530 --run outputs/hvae_mnist --epochs 300

A run that is there already is gone on with, so that what does not fit into one sitting is trained in several: its
last checkpoint is at most a minute old wherever it was ended. Steps are captured; where that fails, so does this. The
time that is left goes to the NLL by `--num-samples` samples, of as many test images, from the first on, as fit: the
record says of how many. VAE_LIGHTNING_DATA holds MNIST. All goes to record_gpu.json, the training's part as soon as it
has ended.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.throughput import environment
from vae_lightning.machine.world import World
from vae_lightning.metrics.log_likelihood import LogLikelihood
from vae_lightning.metrics.subject import Subject
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.trained import open_trained

HERE = Path(__file__).parent
_CLOSING_S = 40  # that a training is given to keep what it has
_BATCH = 100  # images between two looks at the clock


def main() -> None:
    """Train for most of the time, evaluate in the rest, write record_gpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("outputs/hvae_mnist"))
    parser.add_argument("--seconds", type=float, default=530)
    parser.add_argument("--evaluation", type=float, default=150, help="seconds of these for the NLL")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--num-samples", type=int, default=1000)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu tries the script out")
    parser.add_argument("--overrides", nargs="+", default=[], help="further overrides of a training that begins")
    parser.add_argument("--output", type=Path, default=HERE / "record_gpu.json")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("benchmarks.record_gpu: there is no NVIDIA GPU here")
    started = time.monotonic()
    record: dict[str, Any] = environment() | {"command": " ".join(["python -m benchmarks.record_gpu", *sys.argv[1:]])}
    train(options, started + options.seconds - options.evaluation)
    trained = time.monotonic()
    record |= {"status": RunDir(options.run).status().get("status"), "train_seconds": round(trained - started, 1)}
    keep(record, options.output)
    record |= likelihood(options, started + options.seconds)
    record["evaluate_seconds"] = round(time.monotonic() - trained, 1)
    keep(record, options.output)
    print(json.dumps(record, indent=2))


def train(options: argparse.Namespace, deadline: float) -> None:
    """Begin the run, or go on with it, until it ends or its time is up."""
    run = RunDir(options.run)
    if run.last.is_file():
        if options.overrides:
            sys.exit(f"benchmarks.record_gpu: --overrides are for a run that begins, and {options.run} is there")
        words = [f"resume={options.run}"]
    else:
        words = ["experiment=hvae_mnist", "callbacks=none", "logger=csv", f"run_dir={options.run}", *options.overrides]
        words += ["trainer.capture=true"] if options.device == "cuda" else []
    words += [f"trainer.max_epochs={options.epochs}", "checkpoint.every_minutes=1"]
    if run.status().get("status") == "finished" and run.metrics().get("epochs", 0) >= options.epochs:
        return
    process = subprocess.Popen([sys.executable, "-m", "vae_lightning.train", *words])
    try:
        returned = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        end(process)
        return
    if returned:
        sys.exit(f"benchmarks.record_gpu: the training ended with {returned}")


def end(process: subprocess.Popen) -> None:
    """As Ctrl-C does, after which there is a last checkpoint."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_CLOSING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def likelihood(options: argparse.Namespace, deadline: float) -> dict[str, Any]:
    """The NLL of the last checkpoint, of as many test images as there is time for."""
    run = open_trained(str(options.run), "last", options.device)
    subject = Subject(run, "test", run.seed, _BATCH, World())
    metric = LogLikelihood(num_samples=options.num_samples)
    sampled = metric.sampler(run.vae, subject.image_shape, run.seed, "test", options.num_samples)
    bounds: list[torch.Tensor] = []
    for batch in subject.batches():
        for _, found in sampled(batch.images, batch.indices, batch.labels):
            bounds.append(torch.stack([-found.log_likelihood, -found.elbo], 1))
        if time.monotonic() > deadline:
            break
    means = torch.cat(bounds)
    errors = means.std(0) / len(means) ** 0.5
    return {
        "epoch": run.epoch,
        "nll": means[:, 0].mean().item(),
        "nll_stderr": errors[0].item(),
        "negative_elbo": means[:, 1].mean().item(),
        "negative_elbo_stderr": errors[1].item(),
        "num_images": len(means),
        "num_samples": options.num_samples,
    }


def keep(record: dict[str, Any], path: Path) -> None:
    """Write what there is."""
    path.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
