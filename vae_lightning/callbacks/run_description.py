"""What TensorBoard knows about a run besides its curves and its entry in the hparams tab: config and model as text."""

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.model_summary import ModelSummary

from vae_lightning.loggers.showing import tensorboard_loggers


class RunDescription(Callback):
    """Writes the config and the model's summary as text."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        summary = str(ModelSummary(pl_module, max_depth=3))
        for logger in tensorboard_loggers(trainer):
            logger.experiment.add_text("config", _code_block(yaml.safe_dump(pl_module.config, sort_keys=False)))
            logger.experiment.add_text("model", _code_block(summary))


def _code_block(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
