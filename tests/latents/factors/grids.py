"""Complete grids of factors, of which the scores of some codes are known."""

from itertools import product

import numpy as np


def grid(*sizes: int, copies: int = 1) -> np.ndarray:
    """All combinations of factors of so many values, [n, F], each so many times."""
    return np.tile(np.array(list(product(*map(range, sizes)))), (copies, 1))


def turned(factors: np.ndarray) -> np.ndarray:
    """Two factors as a code that is rotated by 45 degrees."""
    one, other = factors.T
    return np.stack([one + other, one - other], 1) / 2**0.5


def noise(num: int, dims: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, dims))
