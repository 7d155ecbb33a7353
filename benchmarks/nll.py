"""How fast log p(x) is estimated by importance sampling, beside pythae 0.1.2's `get_nll` on the same weights.

    python -m benchmarks.nll                 (needs MNIST and pythae: pip install 'vae-lightning[bench]')

An MLP 784-512-20 is trained on binarized MNIST for a few epochs. The contenders then take turns on the same test
images: pythae as its documentation has it, without gradients; this project as `vae-evaluate metrics=nll` does it,
by default and with `nll.matmul_precision=medium`; and the straightforward way: the image encoded once, its samples
decoded in batches, BCE with logits. The recorded results are in README.md.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pythae.models import VAE, VAEConfig
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.contenders.cases import CASES
from benchmarks.contenders.pythae_trainer import Decoder, Encoder
from vae_lightning.evaluation.nll import bytes_per_latent, importance_sampled
from vae_lightning.hardware import flush_denormals, keep_freed_memory
from vae_lightning.scoring.likelihood import matmul_precision
from vae_lightning.train import main as train
from vae_lightning.trained_run import TrainedRun, open_trained

CASE = CASES["mlp"]


def trained(folder: Path, num_epochs: int) -> TrainedRun:
    """The case, trained by the train command."""
    small = [f"trainer.max_epochs={num_epochs}", "data.binarize=dynamic", "callbacks=none", "logger=none"]
    sys.argv = ["vae-train", *CASE.overrides, *small, f"run_dir={folder / 'run'}"]
    train()
    return open_trained(str(folder / "run"), device="cpu")


def of_pythae(run: TrainedRun, num_samples: int) -> Callable[[Tensor, Tensor], float]:
    """The mean NLL by pythae's method, with the run's weights in its own model."""
    config = VAEConfig(input_dim=CASE.image_shape, latent_dim=CASE.latent_dim, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(CASE), decoder=Decoder(CASE))
    model.encoder.layers.load_state_dict(run.vae.encoder.state_dict())
    model.encoder.mean.load_state_dict(run.vae.posterior.loc.state_dict())
    model.encoder.log_variance.load_state_dict(run.vae.posterior.log_variance.state_dict())
    model.decoder.layers.load_state_dict(run.vae.decoder.state_dict())
    model.eval()
    return lambda x, indices: -float(model.get_nll(x, n_samples=num_samples))


def of_ours(
    run: TrainedRun, num_samples: int, memory_mb: float, precision: str = "highest"
) -> Callable[[Tensor, Tensor], float]:
    """The mean NLL as the evaluate command computes it."""
    most = int(memory_mb * 1e6 // bytes_per_latent(run.vae, CASE.image_shape))

    def nll(x: Tensor, indices: Tensor) -> float:
        with matmul_precision(precision):
            parts = importance_sampled(run.vae, x, indices, num_samples=num_samples, seed=0, max_latents=most)
            return -float(torch.cat([bounds.log_likelihood for _, bounds in parts]).mean())

    return nll


def straightforward(run: TrainedRun, num_samples: int) -> Callable[[Tensor, Tensor], float]:
    """The mean NLL with PyTorch's own functions, 1,000 samples of an image at a time."""

    def nll(x: Tensor, indices: Tensor) -> float:
        posterior, total = run.vae.encode(x), 0.0
        for row in range(len(x)):
            loc, scale, weights = posterior.base_dist.loc[row], posterior.base_dist.scale[row], []
            for _ in range(num_samples // 1000):
                noise = torch.randn(1000, len(loc))
                z = loc + scale * noise
                logits = run.vae.decoder.layers[2](torch.relu(run.vae.decoder.layers[0](z)))
                target = x[row].flatten().expand_as(logits)
                log_p = -binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)
                weights.append(log_p + (noise.square() / 2 - z.square() / 2 + scale.log()).sum(1))
            total -= float(torch.cat(weights).logsumexp(0)) - math.log(num_samples)
        return total / len(x)

    return nll


def main() -> None:
    """Measure and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--num-images", type=int, default=100)
    parser.add_argument("--num-samples", type=int, default=5000)
    parser.add_argument("--memory-mb", type=float, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    flush_denormals()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        with torch.enable_grad():
            run = trained(Path(folder), options.epochs)
        contenders = {
            "pythae": of_pythae(run, options.num_samples),
            "straightforward": straightforward(run, options.num_samples),
            "vae_lightning": of_ours(run, options.num_samples, options.memory_mb),
            "... medium": of_ours(run, options.num_samples, options.memory_mb, "medium"),
        }
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        values: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(options.repeats):
            indices = torch.arange(turn * options.num_images, (turn + 1) * options.num_images)
            x = run.data.images_at(indices, "test").images.float() / 255
            for name, contender in contenders.items():
                started = time.perf_counter()
                values[name].append(contender(x, indices))
                rates[name].append(options.num_images / (time.perf_counter() - started))
    print(f"\nK = {options.num_samples:,}, {options.num_images} images a turn, {torch.get_num_threads()} threads")
    reference, value = statistics.median(rates["pythae"]), statistics.mean(values["pythae"])
    for name in contenders:
        median, mean = statistics.median(rates[name]), statistics.mean(values[name])
        value_told = f"NLL {mean:.3f} ({mean - value:+.3f})"
        print(f"{name:<17}{median:>8.1f} images/s{median / reference:>7.2f} x pythae   {value_told}")


if __name__ == "__main__":
    main()
