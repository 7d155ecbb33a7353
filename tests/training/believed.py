"""What a run that is gone on with believes of a checkpoint."""

from pathlib import Path
from typing import Any

import pytest

from vae_lightning.errors import UserError
from vae_lightning.training.run import Parts


def believed(parts: Parts, file: Path) -> dict[str, Any]:
    """What `trainer.fit(ckpt_path=file)` restores from."""
    return parts.trainer.strategy.load_checkpoint(file, weights_only=True)


def refusal(parts: Parts, file: Path) -> str:
    with pytest.raises(UserError) as error:
        believed(parts, file)
    message = str(error.value)
    assert message.startswith(f"{file} ")
    assert message.isprintable()  # so it is one line, and takes no terminal over
    assert len(message) < 600
    return message.removeprefix(f"{file} ")
