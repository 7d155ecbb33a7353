"""What the distance of samples that needs no download sees: a run's test images against themselves, spoilt.

    python -m benchmarks.distances --run outputs/anime --seeds 0 1

Each line is the Frechet distance (`metrics.samples`: `fd_instances`, or with labels `fd_classifier`) between the test
images and the same ones spoilt in one way, by the network of each seed.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from vae_lightning.metrics.features import FeatureNetwork, features_of
from vae_lightning.metrics.frechet import frechet_distance
from vae_lightning.runs.trained import open_trained

_AT_ONCE = 250


def blurred(scale: float) -> Callable[[Tensor], Tensor]:
    side = 2 * int(3 * scale) + 1
    return lambda x: gaussian_blur(x, [side, side], [scale, scale])


def contrast(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda x: 0.5 + factor * (x - 0.5)


def halves(x: Tensor) -> Tensor:
    middle = x.shape[2] // 2
    return torch.cat([x[:, :, :middle], x.roll(1, 0)[:, :, middle:]], 2)


SPOILT: dict[str, Callable[[Tensor], Tensor]] = {
    "blurred by a Gaussian of 1 pixel": blurred(1),
    "of 2 pixels": blurred(2),
    "of 3 pixels": blurred(3),
    "a tenth of them, ten times each": lambda x: x[: max(1, len(x) // 10)].repeat(10, 1, 1, 1),
    "of two halves of different images": halves,
    "of four quarters": lambda x: halves(halves(x).transpose(2, 3).roll(2, 0)).transpose(2, 3),
    "means of two images": lambda x: (x + x.roll(1, 0)) / 2,
    "with 0.8 of the contrast": contrast(0.8),
    "with 0.5 of the contrast": contrast(0.5),
    "in grey": lambda x: x.mean(1, keepdim=True).expand_as(x),
    "mirrored": lambda x: x.flip(3),
    "turned upside down": lambda x: x.flip(2, 3),
}


@torch.no_grad()
def distance(network: FeatureNetwork, one: Tensor, other: Tensor) -> float:
    seen = (torch.cat([network(part) for part in images.split(_AT_ONCE)]) for images in (one, other))
    return frechet_distance(*seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="whose data are taken")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    data = open_trained(options.run, device="cpu").data
    x = data.images_at(torch.arange(len(data.splits["test"])), "test").images.float() / 255
    others = data.images_at(torch.arange(min(len(x), len(data.splits["val"]))), "val").images.float() / 255
    networks = [features_of(data, seed, torch.device("cpu")) for seed in options.seeds]
    print(f"{len(x):,} test images, features by {networks[0].what}, seeds {options.seeds}")
    for name, images in {
        "other images (validation)": others,
        **{key: spoil(x) for key, spoil in SPOILT.items()},
    }.items():
        found = [distance(each.network, x, images) for each in networks]
        print(f"{name:36}" + "".join(f"{value:10.3f}" for value in found), flush=True)


if __name__ == "__main__":
    main()
