"""The nearest of learned vectors: the codebook of the VQ-VAE."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vae_lightning.errors import require_at_least, require_at_most
from vae_lightning.models.parts import Quantized, Quantizer
from vae_lightning.models.quantizers.library import library
from vae_lightning.models.ranks import are_several, sum_over_ranks_


class VectorQuantizer(Quantizer):
    """k = argmin_k |v - e_k|, with a codebook e that follows what it stands for, by vector-quantize-pytorch.

    The gradient of the decoder goes straight through to v. Each e_k is the running mean of the vectors v that were
    nearest to it (arXiv 1711.00937, appendix A.1), so that no gradient is needed for it; running sums are buffers.
    The encoder is held to its codes by a penalty, of each image

        commitment * sum over positions of |v - stop_gradient(e_k)|^2

    beside a distortion in nats that is the sum over pixels. A code that hardly any vector is nearest to is replaced by
    a vector of the batch, at random. Ranks of a training have one codebook, of the vectors of all of them.

    A step can't be captured as a CUDA graph: the library asks the GPU whether any code is dead.

    Args:
        num_codes: K.
        code_dim: V.
        commitment: the penalty's weight (0.25 in the paper).
        decay: of the running sums, a step (0.99 in the paper).
        dead_below: a code is replaced once fewer vectors a step than that are nearest to it, in the running mean; 0:
            never.
        rotation_trick: whether the gradient is turned on its way by as much as v is to its code (arXiv 2410.06424).

    Raises:
        ValueError: a codebook of fewer than 2 codes or of more than 65,536, vectors of no width, a negative commitment
            or dead_below, or a decay outside [0, 1).
        UserError: vector-quantize-pytorch is not installed.
    """

    host_waits = "the library of the codebook asks the GPU in each step whether a code is dead"

    def __init__(
        self,
        num_codes: int = 512,
        code_dim: int = 16,
        commitment: float = 0.25,
        decay: float = 0.99,
        dead_below: float = 0.1,
        rotation_trick: bool = False,
    ):
        require_at_least("num_codes", num_codes, 2)
        require_at_most("num_codes", num_codes, 65_536)
        require_at_least("code_dim", code_dim, 1)
        require_at_least("commitment", commitment, 0)
        require_at_least("dead_below", dead_below, 0)
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        super().__init__()
        self.num_codes = num_codes
        self.code_dim = code_dim
        self.commitment = commitment
        self.codebook: Any = library().VectorQuantize(
            dim=code_dim,
            codebook_size=num_codes,
            decay=decay,
            threshold_ema_dead_code=dead_below,
            commitment_weight=0.0,  # the library's is a mean over the batch: here it is each image's own
            rotation_trick=rotation_trick and code_dim > 1,
            sync_codebook=False,  # it asks for ranks when it is made, and there are none yet
        )
        self.codebook._codebook.all_reduce_fn = sum_over_ranks_

    def forward(self, vectors: Float[Tensor, "B P V"]) -> Quantized:
        if torch.compiler.is_exporting():  # the library asks a buffer whether the codebook is there yet
            indices = (vectors[:, :, None] - self.codebook.codebook).square().sum(-1).argmin(-1)
            return Quantized(self.vectors_of(indices), indices)
        # In training the codebook has moved by then, so that the codes' own vectors are what came out.
        quantized, indices, _ = self.codebook(vectors)
        distances = (vectors - quantized.detach()).square().sum((1, 2))
        if self.training and are_several():
            self._share()
        return Quantized(quantized, indices, self.commitment * distances)

    def vectors_of(self, indices: Int64[Tensor, "N P"]) -> Float[Tensor, "N P V"]:
        return self.codebook.codebook[indices]

    @torch.no_grad()
    def _share(self) -> None:
        """Codes that were replaced are so on each rank by vectors of its own: those of the first one count."""
        for buffer in self.codebook._codebook.buffers():
            torch.distributed.broadcast(buffer, src=0)
