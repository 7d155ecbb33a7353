"""vector-quantize-pytorch, which is imported where a model has codes and nowhere else: it takes seconds."""

from typing import Any

from vae_lightning.errors import UserError


def library() -> Any:
    """The package.

    Raises:
        UserError: it is not installed.
    """
    try:
        import vector_quantize_pytorch
    except ImportError as error:
        raise UserError(
            "model.quantizer: vector-quantize-pytorch is not installed: pip install 'vae-lightning[codes]'"
        ) from error
    return vector_quantize_pytorch
