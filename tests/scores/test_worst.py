import numpy as np
import torch

from vae_lightning.scores.score import ScoredBatch
from vae_lightning.scores.worst import Worst, stacked


def batch_of(run, first: int, count: int) -> ScoredBatch:
    x = torch.arange(first, first + count).float().div(255).reshape(count, 1, 1, 1).expand(-1, 1, 28, 28)
    return ScoredBatch(run, x, torch.arange(first, first + count), None, 0)


def test_of_each_score_the_worst_stay_whatever_the_batches(digits):
    values = np.random.default_rng(0).permutation(40).astype(float)
    other = np.random.default_rng(1).permutation(40).astype(float)
    for size in (1, 7, 40):
        worst = Worst(5, 2)
        for start in range(0, 40, size):
            part = slice(start, min(start + size, 40))
            worst.offer(batch_of(digits, start, part.stop - start), [values[part], other[part]])
        shown = worst.shown()
        wanted = {*np.argsort(-values)[:5].tolist(), *np.argsort(-other)[:5].tolist()}
        assert [each.row for each in shown] == sorted(wanted)
        images, made = stacked(shown)
        assert images[:, 0, 0, 0].tolist() == sorted(wanted)
        assert made.shape == images.shape


def test_what_is_no_number_is_the_strangest_and_of_equal_ones_the_first_stay(digits):
    worst = Worst(2, 1)
    worst.offer(batch_of(digits, 0, 4), [np.array([1.0, 1.0, np.nan, 1.0])])
    assert [each.row for each in worst.shown()] == [0, 2]
