"""What loggers know about a run besides its figures and hyperparameters: config and model as text."""

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.model_summary import ModelSummary

from vae_lightning.loggers.showing import show_text


class RunDescription(Callback):
    """Gives the loggers the config and the model's summary as text."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            show_text(trainer, "config", yaml.safe_dump(pl_module.config, sort_keys=False))
            show_text(trainer, "model", str(ModelSummary(pl_module, max_depth=3)))
