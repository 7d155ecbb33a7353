"""Each dimension rounded to a few levels: a codebook that is a grid, and nothing to learn."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vae_lightning.models.parts import Quantized, Quantizer
from vae_lightning.models.quantizers.library import library

_FEWEST = 3  # levels of a dimension: of two the library makes something else
_MOST = 2**20  # codes, all of which the library keeps


class ScalarQuantizer(Quantizer):
    """Dimension d of a vector is bounded by tanh and rounded to one of `levels[d]` values, by vector-quantize-pytorch.

    The codebook is the grid of all of them, K = prod_d levels[d]; of the rate log(levels[d]) falls to dimension d. The
    gradient goes straight through the rounding. Nothing is learned but the encoder, no code dies, and there is no
    penalty. Mentzer, Minnen, Agustsson & Tschannen, Finite scalar quantization, arXiv 2309.15505.

    Args:
        levels: of each dimension; the paper's for about 2^8, 2^10, 2^12 codes are [8,6,5], [8,5,5,5], [7,5,5,5,5].

    Raises:
        ValueError: no levels, fewer than 3 of a dimension, or more than 2^20 codes in all.
        UserError: vector-quantize-pytorch is not installed.
    """

    def __init__(self, levels: Sequence[int] = (8, 5, 5, 5)):
        if len(levels) == 0 or min(levels) < _FEWEST or math.prod(levels) > _MOST:
            raise ValueError(
                f"levels must be a list of numbers, each at least {_FEWEST}, whose product is at most {_MOST:,}; "
                f"got {list(levels)}"
            )
        super().__init__()
        self.levels = list(levels)
        self.code_dim = len(levels)
        self.num_codes = math.prod(levels)
        self.grid: Any = library().FSQ(self.levels)

    def forward(self, vectors: Float[Tensor, "B P V"]) -> Quantized:
        if torch.compiler.is_exporting():  # the library's rearranging holds the number of images fast
            quantized = self.grid.quantize(vectors)
            return Quantized(quantized, self.grid.codes_to_indices(quantized).long())
        quantized, indices = self.grid(vectors)
        return Quantized(quantized, indices.long())

    def vectors_of(self, indices: Int64[Tensor, "N P"]) -> Float[Tensor, "N P V"]:
        return self.grid.indices_to_codes(indices)

    def nats(self) -> Float[Tensor, " V"]:
        """The logarithms of the levels."""
        return torch.tensor([math.log(number) for number in self.levels])
