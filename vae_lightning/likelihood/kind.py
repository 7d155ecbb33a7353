"""What a model's log-probabilities are: no density is to pass for a probability, nor a cross-entropy for either."""

from torch import nn

DENSITY = "log-density of pixels in [0, 1]"
LIKELIHOOD = "log-likelihood of binary images"
CROSS_ENTROPY = "cross-entropy of grey levels, no likelihood"


def kind_of(likelihood: nn.Module, binarize: str) -> str:
    """The kind in words.

    Args:
        likelihood: the model's, which tells by `is_discrete` whether it is one of discrete pixels.
        binarize: the data's setting; "none" leaves grey levels.
    """
    if not likelihood.is_discrete:
        return DENSITY
    return LIKELIHOOD if binarize != "none" else CROSS_ENTROPY
