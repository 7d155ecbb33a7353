"""What TensorBoard knows about a run besides its curves: config, model, hyperparameters and final metrics."""

from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.model_summary import ModelSummary
from torch.utils.tensorboard.summary import hparams

from vae_lightning.callbacks.pictures import tensorboard_loggers
from vae_lightning.callbacks.steps import current_step

# The same in every run, whatever its model: TensorBoard compares runs by these names.
METRICS = ("test/elbo", "test/rate", "test/distortion", "val/elbo")


class RunDescription(Callback):
    """Writes the config and the model's summary as text, and after the test an entry of the hparams tab."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        summary = str(ModelSummary(pl_module, max_depth=3))
        for logger in tensorboard_loggers(trainer):
            logger.experiment.add_text("config", _code_block(yaml.safe_dump(pl_module.config, sort_keys=False)))
            logger.experiment.add_text("model", _code_block(summary))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        values = {name: mean.value for name, mean in pl_module.results.items()}
        best = trainer.checkpoint_callback and trainer.checkpoint_callback.best_model_score
        if best is not None:
            values["val/elbo"] = float(best)
        metrics = {f"final/{name.replace('/', '_')}": values.get(name, float("nan")) for name in METRICS}
        for logger in tensorboard_loggers(trainer):
            writer = logger.experiment._get_file_writer()
            for summary in hparams(hyperparameters(pl_module.config), metrics):
                writer.add_summary(summary)
            for name, value in metrics.items():
                logger.experiment.add_scalar(name, value, current_step(trainer))


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """The settings that runs differ by, flat, as numbers, booleans and strings; the same names for every model."""
    flat = {
        "name": config.get("name", ""),
        "seed": config.get("seed", 0),
        "data": _class_name(config.get("data", {})),
        "model": _class_name(config.get("model", {}).get("encoder", {})),
    }
    for group in ("data", "model", "objective", "optimizer"):
        flat |= {f"{group}.{key}": value for key, value in config.get(group, {}).items() if not key.startswith("_")}
    flat |= {f"trainer.{key}": config.get("trainer", {}).get(key) for key in ("max_epochs", "precision")}
    return {key: value for key, value in flat.items() if isinstance(value, bool | int | float | str)}


def _class_name(node: dict[str, Any]) -> str:
    return str(node.get("_target_", "")).rpartition(".")[2]


def _code_block(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
