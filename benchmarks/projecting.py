"""t-SNE of a run's posterior means: processor seconds on one thread, and how well neighbours are kept.

    python -m benchmarks.projecting outputs/<date>/<time>_<name> --num-images 2000 --seeds 3

Trustworthiness is scikit-learn's, of 5, 12 and 30 neighbours: 1 where no point has one that was far away before.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
from sklearn.manifold import TSNE, trustworthiness
from threadpoolctl import threadpool_limits
from torch import Tensor

from vae_lightning.latents import projections
from vae_lightning.runs.trained import open_trained

Projection = Callable[[Tensor, int], np.ndarray]
NEIGHBOURS = (5, 12, 30)


def scikit_learn(**options: float) -> Projection:
    """Its own, from the start that ours has."""

    def project(points: Tensor, seed: int) -> np.ndarray:
        start = projections._initial_plane(points, seed).astype(np.float32)
        return TSNE(init=start, random_state=0, **options).fit_transform(points.numpy())

    return project


def ours(**constants: float) -> Projection:
    """This project's, with other constants."""

    def project(points: Tensor, seed: int) -> np.ndarray:
        with patch.multiple(projections, **constants):
            return projections.tsne(points, seed)

    return project


CONTENDERS = {
    "scikit-learn, 1,000 steps": scikit_learn(),
    "scikit-learn, 500 steps": scikit_learn(max_iter=500),
    "scikit-learn, 500 steps, angle 0.8": scikit_learn(max_iter=500, angle=0.8),
    "openTSNE, 60 + 300 steps, angle 0.8": ours(_MOST_IN_A_TREE=10**9),
    "the same, angle 0.5": ours(_MOST_IN_A_TREE=10**9, _ANGLE=0.5),
    "the same, on a grid": ours(_MOST_IN_A_TREE=0),
    "the same, 60 + 150 steps": ours(_MOST_IN_A_TREE=10**9, _STEPS=150),
}


def measured(project: Projection, points: Tensor, seeds: int) -> list[float]:
    """Medians over the seeds of the processor seconds and of the trustworthiness."""
    rows = []
    for seed in range(seeds):
        with threadpool_limits(limits=1):
            began = time.process_time()
            plane = project(points, seed)
            seconds = time.process_time() - began
        rows.append([seconds, *(trustworthiness(points.numpy(), plane, n_neighbors=k) for k in NEIGHBOURS)])
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def main() -> None:
    """Print a line a contender."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--split", default="val")
    parser.add_argument("--num-images", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    points = open_trained(arguments.run, "last", "cpu").encoded(arguments.split, arguments.num_images).latents.loc
    projections.tsne(points[:50], 0)  # imports
    first: list[float] | None = None
    for name, project in CONTENDERS.items():
        figures = measured(project, points, arguments.seeds)
        first = first or figures
        kept = "  ".join(f"{each:.4f}" for each in figures[1:])
        print(f"{name:<38}{figures[0]:>7.2f} s{figures[0] / first[0]:>7.2f}  {kept}", flush=True)


if __name__ == "__main__":
    main()
