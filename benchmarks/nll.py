"""How fast log p(x) is estimated by importance sampling, beside pythae 0.1.2's `get_nll` on the same weights.

    python -m benchmarks.nll                 (needs MNIST and pythae: pip install 'vae-lightning[bench]')

An MLP 784-512-20 is trained on binarized MNIST for a few epochs. The contenders then take turns on the same test
images: pythae as its documentation has it, without gradients; this project as `vae-evaluate metrics=nll` does it,
with the `nll.matmul_precision` named; and the straightforward way: the image encoded once, its samples decoded in
batches, BCE with logits. All weigh the same samples: pythae and the straightforward way are given this project's
noise, drawn before their clocks run, so that the values differ by arithmetic alone. The recorded results are in
README.md.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from pythae.models import VAE, VAEConfig
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.contenders.cases import CASES
from benchmarks.contenders.pythae_trainer import Decoder, Encoder
from vae_lightning.likelihood.importance import importance_sampled
from vae_lightning.likelihood.log_weights import Precision
from vae_lightning.likelihood.memory import latent_memory
from vae_lightning.machine.hardware import flush_denormals, keep_freed_memory
from vae_lightning.noise import indexed_parts
from vae_lightning.runs.trained import TrainedRun, open_trained
from vae_lightning.train import main as train

CASE = CASES["mlp"]
SEED = 0  # of the noise

Contender = Callable[[Tensor, Tensor, Tensor], Tensor]  # images, their indices and noise -> NLL of each image


def trained(folder: Path, num_epochs: int) -> TrainedRun:
    """The case, trained by the train command."""
    small = [f"trainer.max_epochs={num_epochs}", "data.binarize=dynamic", "callbacks=none", "logger=none"]
    sys.argv = ["vae-train", *CASE.overrides, *small, f"run_dir={folder / 'run'}"]
    train()
    return open_trained(str(folder / "run"), device="cpu")


def noise_of(indices: Tensor, num_samples: int) -> Tensor:
    """This project's noise for the images of these indices, [N, K, D]."""
    parts = indexed_parts(SEED, indices, num_samples, num_samples, torch.device("cpu"))
    return torch.cat([part.normal((CASE.latent_dim,)) for part in parts]).movedim(1, 0)


def of_pythae(run: TrainedRun, num_samples: int) -> Contender:
    """pythae's method, with the run's weights in its own model; its noise comes from a list."""
    config = VAEConfig(input_dim=CASE.image_shape, latent_dim=CASE.latent_dim, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(CASE), decoder=Decoder(CASE))
    model.encoder.layers.load_state_dict(run.vae.encoder.state_dict())
    model.encoder.mean.load_state_dict(run.vae.posterior.loc.state_dict())
    model.encoder.log_variance.load_state_dict(run.vae.posterior.log_variance.state_dict())
    model.decoder.layers.load_state_dict(run.vae.decoder.state_dict())
    model.eval()

    def nll(x: Tensor, indices: Tensor, noise: Tensor) -> Tensor:
        values = []
        for image, of_image in zip(x, noise, strict=True):
            parts = iter(of_image.split(100))  # its batch_size

            def given(mean: Tensor, std: Tensor, parts: Iterator[Tensor] = parts) -> tuple[Tensor, Tensor]:
                drawn = next(parts)
                return mean + drawn * std, drawn

            model._sample_gauss = given
            values.append(-float(model.get_nll(image.unsqueeze(0), n_samples=num_samples)))
        return torch.tensor(values)

    return nll


def of_ours(run: TrainedRun, num_samples: int, memory_mb: float, precision: Precision) -> Contender:
    """As the evaluate command computes it, which draws the noise itself."""
    most = latent_memory(run.vae, CASE.image_shape).most(memory_mb * 1e6)
    options = {"num_samples": num_samples, "seed": SEED, "max_latents": most, "precision": precision}

    def nll(x: Tensor, indices: Tensor, noise: Tensor) -> Tensor:
        return -torch.cat([bounds.log_likelihood for _, bounds in importance_sampled(run.vae, x, indices, **options)])

    return nll


def straightforward(run: TrainedRun, num_samples: int) -> Contender:
    """With PyTorch's own functions, 1,000 samples of an image at a time."""

    def nll(x: Tensor, indices: Tensor, noise: Tensor) -> Tensor:
        latents, values = run.vae.encode(x), []
        for row in range(len(x)):
            assert latents.scale is not None
            loc, scale, weights = latents.loc[row], latents.scale[row], []
            for part in noise[row].split(1000):
                z = loc + scale * part
                logits = run.vae.decoder.layers[2](torch.relu(run.vae.decoder.layers[0](z)))
                target = x[row].flatten().expand_as(logits)
                log_p = -binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)
                weights.append(log_p + (part.square() / 2 - z.square() / 2 + scale.log()).sum(1))
            values.append(math.log(num_samples) - float(torch.cat(weights).logsumexp(0)))
        return torch.tensor(values)

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
        } | {
            name: of_ours(run, options.num_samples, options.memory_mb, name)
            for name in ("highest", "refined", "medium")
        }
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        values: dict[str, list[Tensor]] = {name: [] for name in contenders}
        for turn in range(options.repeats):
            indices = torch.arange(turn * options.num_images, (turn + 1) * options.num_images)
            x = run.data.images_at(indices, "test").images.float() / 255
            noise = noise_of(indices, options.num_samples)
            order = [*contenders] * 2
            for name in order[turn % len(contenders) :][: len(contenders)]:
                started = time.perf_counter()
                values[name].append(contenders[name](x, indices, noise))
                rates[name].append(options.num_images / (time.perf_counter() - started))
    images = f"{options.repeats} x {options.num_images} images"
    print(f"\nK = {options.num_samples:,}, {images}, {torch.get_num_threads()} threads")
    reference = statistics.median(rates["pythae"])
    for name in contenders:
        median, value = statistics.median(rates[name]), torch.cat(values[name])
        apart = (value - torch.cat(values["pythae"])).abs().max()
        speed = f"{median:>8.1f} images/s{median / reference:>7.2f} x pythae"
        print(f"{name:<17}{speed}   NLL {value.mean():.4f}, an image's at most {apart:.4f} from pythae's")


if __name__ == "__main__":
    main()
