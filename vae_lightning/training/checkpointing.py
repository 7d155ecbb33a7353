"""What a checkpoint holds of a run besides Lightning's own: its config, its data's identity, its units' statistics."""

from typing import Any

from vae_lightning.checkpoints.contents import CLASS_NAMES
from vae_lightning.checkpoints.writing import first_not_finite
from vae_lightning.errors import UserError
from vae_lightning.latents.units import UnitStatistics

SKIPPED = "skipped"  # how many steps were dropped, where some may be


def complete(checkpoint: dict[str, Any], module: Any) -> None:
    """Add to a checkpoint that Lightning is about to write.

    Raises:
        UserError: weights that are not finite, of which none is written.
    """
    bad = first_not_finite(checkpoint["state_dict"])
    if bad is not None:
        raise UserError(f"{bad} is not finite (epoch {module.current_epoch + 1}): no checkpoint is written of that")
    for logger in module.trainer.loggers:
        logger.save()  # what was logged so far: a run that goes on from here does not log it again
    data = module.trainer.datamodule
    checkpoint |= {"config": module.config, "data": data.identity}
    if skipped := module.epochs.skipped:
        checkpoint[SKIPPED] = skipped
    if data.class_names is not None:
        checkpoint[CLASS_NAMES] = list(data.class_names)
    checkpoint["units"] = None if module.units is None else module.units.as_dict()


def taken(checkpoint: dict[str, Any]) -> tuple[dict[str, int], UnitStatistics | None]:
    """The steps that were dropped, and the units for pictures that the run owes for the epoch that it goes on from."""
    units = checkpoint.get("units")
    return checkpoint.get(SKIPPED, {}), None if units is None else UnitStatistics.from_dict(units)
