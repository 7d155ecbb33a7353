"""What of a run's settings is refused by itself, before anything is imported or built for it."""

from pathlib import Path
from typing import Any

from vae_lightning.data.cache import cache_folder
from vae_lightning.data.picture_files import NO_ROOT, check_folder
from vae_lightning.errors import UserError
from vae_lightning.machine.hardware import bfloat16, native_accelerator

_FOLDER = "ImageFolder"
_CHOSEN = ("32-true", "bf16-mixed")  # by `auto`


def check_settings(config: dict[str, Any]) -> None:
    """Refuse what Lightning would accept and trip over later.

    Args:
        config: the resolved config as plain data.

    Raises:
        UserError: a seed out of range, a precision that can't work, a run with nothing to train on or to test.
    """
    trainer = config["trainer"]
    if not 0 <= config["seed"] < 2**32:
        raise UserError(f"seed={config['seed']}: choose 0 to {2**32 - 1}")
    if str(trainer["precision"]) in ("16-true", "bf16-true", "64-true", "64"):
        valid = "auto, 32-true, bf16-mixed, 16-mixed"
        raise UserError(f"trainer.precision={trainer['precision']}: the weights stay float32; choose one of {valid}")
    looked_at = trainer["gradient_clip_val"] or trainer.get("skip_gradient_norm")
    if str(trainer["precision"]) in ("16", "16-mixed") and looked_at and config["optimizer"].get("fused"):
        late = "too late for clipping them or for their norm"
        raise UserError(f"optimizer.fused=true: in fp16 it unscales the gradients itself, {late}")
    if not isinstance(trainer["compile"], bool):
        raise UserError(f"trainer.compile={trainer['compile']!r}: expected true or false")
    capture = trainer.get("capture", "auto")
    if capture != "auto" and not isinstance(capture, bool):
        raise UserError(f"trainer.capture={capture}: choose auto, true or false")
    threads = trainer.get("num_threads", "auto")
    if threads != "auto" and (isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 1024):
        raise UserError(f"trainer.num_threads={threads}: choose auto or a whole number from 1 to 1024")
    if trainer.get("fast_dev_run"):
        raise UserError("trainer.fast_dev_run leaves no checkpoint to test; debug=fast does the same and leaves one")
    for key in ("max_epochs", "max_steps", "limit_train_batches", "limit_test_batches"):
        if trainer.get(key) == 0:
            raise UserError(f"trainer.{key}=0: a run trains and then tests; choose at least 1")
    if config.get("schedule") and (trainer.get("max_epochs") or -1) < 0:
        raise UserError("schedule: goes by how much of training is done; choose a trainer.max_epochs")
    if trainer.get("limit_val_batches") == 0 and (config["callbacks"] or {}).get("early_stopping"):
        raise UserError("callbacks: early_stopping watches val/elbo, and trainer.limit_val_batches=0 gives it none")


def check_root(data: dict[str, Any]) -> None:
    """Refuse a folder of pictures that is not there; data without `archive` may be downloaded into their root.

    Args:
        data: its config as plain data.

    Raises:
        UserError: there is no such folder, or it is a file, or none is given.
    """
    root = data.get("root")
    is_folder = str(data.get("_target_")).rpartition(".")[2] == _FOLDER
    if is_folder and root is None and data.get("archive", "") is None:
        raise UserError(f"data.{NO_ROOT}")
    if isinstance(root, str) and data.get("archive", "") is None:
        check_folder(Path(root).expanduser(), f"data.root={root}", cache_folder(data.get("cache_dir")))


def chosen_precision(trainer: dict[str, Any], before: dict[str, Any]) -> tuple[str, str]:
    """The precision to train in, and why it is this one where `auto` has chosen.

    A run that is gone on with keeps what was chosen when it began, wherever it is gone on with now.

    Args:
        trainer: the config's trainer node.
        before: what environment.json says of a run that is gone on with; empty for a new one.

    Raises:
        UserError: fp16 on a CPU.
    """
    wanted, accelerator = trainer["precision"], native_accelerator(trainer["accelerator"])
    if str(wanted) in ("16", "16-mixed") and accelerator == "cpu":
        raise UserError("trainer.precision=16-mixed: fp16 needs a GPU; choose bf16-mixed, 32-true or auto")
    if wanted != "auto":
        return wanted, ""
    if before.get("precision") in _CHOSEN:
        return before["precision"], "the run began in it"
    pays, because = bfloat16(accelerator)
    return _CHOSEN[pays], because
