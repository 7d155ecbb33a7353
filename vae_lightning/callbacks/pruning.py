"""Ends a trial of a hyperparameter search early when it goes worse than the other trials did."""

import logging
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer

from vae_lightning.errors import UserError, first_line

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import Trial

log = logging.getLogger("vae_lightning")

JOURNAL = "study.log"  # in the sweep's directory
DEFAULT_STUDY = "search"
PRUNED = "pruned_after_epoch"  # the trial's user attribute


class PruneTrial(Callback):
    """Reports a validation metric to Optuna after every epoch, and ends the training where Optuna's pruner says so.

    Rank zero asks and all ranks follow. Pruning only saves time: a storage that fails is told and trained without.

    Args:
        trial: the trial's number in its study; None outside of a search.
        storage: an Optuna storage URL or the file of a journal; None for the journal in the sweep's directory, which
            is found beside the run directory and so may be moved.
        study_name: of the study; None for the one of a sweep's own journal.
        metric: what is reported, by the name it is logged under.
        pruner: an Optuna pruner; None never ends a trial.

    Attributes:
        read_only: "trial" where a stored config names it: then the search beside the run directory is left alone, for
            it need not be this run's. A search that is gone on with names its trials itself.
        reason: why the training was ended early, None where it was not.

    Raises:
        UserError: no trial was given, or validation measures no such metric.
    """

    read_only: frozenset[str] = frozenset()

    def __init__(
        self,
        trial: int | None,
        storage: str | None = None,
        study_name: str | None = None,
        metric: str = "val/elbo",
        pruner: Any = None,
    ):
        if trial is None:
            raise UserError("hparams_search=optuna: a search is a sweep; add -m, as in: train -m hparams_search=optuna")
        self.number = trial
        self.storage = storage
        self.study_name = study_name or DEFAULT_STUDY
        self.metric = metric
        self.pruner = pruner
        self.reason: str | None = None
        self._trial: Trial | None = None
        self._reported: set[int] = set()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pruned = self._open(Path(trainer.default_root_dir)) if trainer.is_global_zero else None
        # A run that was interrupted once it had been pruned, as it was being tested, needs no further epoch.
        self._follow(trainer, pruned if pruned is not None and trainer.current_epoch >= pruned else None)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if self.metric not in trainer.callback_metrics:
            valid = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/")))
            raise UserError(f"callbacks.pruning.metric={self.metric}: not measured by validation; valid here: {valid}")
        value = float(trainer.callback_metrics[self.metric])
        ends = trainer.is_global_zero and self._is_hopeless(trainer.current_epoch, value)
        self._follow(trainer, trainer.current_epoch + 1 if ends else None)

    def _follow(self, trainer: Trainer, pruned: int | None) -> None:
        """End the training on every rank if rank zero has found it to be pruned, and after which epoch."""
        pruned = trainer.strategy.broadcast(pruned)
        if pruned is not None:
            self.reason = f"pruned after epoch {pruned}"
            trainer.should_stop = True

    def _open(self, run_dir: Path) -> int | None:
        """Find the trial that is running, and after which epoch it has been pruned before."""
        if "trial" in self.read_only:
            log.warning("a trial that is resumed alone is not reported to its search: trains without pruning")
            return None
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._trial, self._reported = None, set()
        journal = run_dir.parent / JOURNAL
        if self.storage is None and (journal.is_symlink() or not journal.is_file()):  # a link may lead anywhere
            log.warning("%s is no longer in its search's directory: trains without pruning", run_dir)
            return None
        try:
            storage = open_storage(self.storage, run_dir.parent)
            # A sampler that draws nothing: the trial has its parameters.
            sampler = optuna.samplers.RandomSampler()
            pruner = self.pruner or optuna.pruners.NopPruner()
            study = optuna.load_study(study_name=self.study_name, storage=storage, sampler=sampler, pruner=pruner)
            frozen = study.get_trials(deepcopy=False)[self.number]
            if frozen.state.is_finished():  # a run of a search that is over, trained further
                return None
            self._trial = optuna.trial.Trial(study, frozen._trial_id)
        except Exception as error:  # a damaged journal raises whatever Optuna trips over
            log.warning("the search's storage: %s: trains without pruning", first_line(error))
            return None
        self._reported = set(frozen.intermediate_values)
        return frozen.user_attrs.get(PRUNED)

    def _is_hopeless(self, epoch: int, value: float) -> bool:
        # A NaN would spoil the pruner's statistics; that the loss is not finite ends the run anyway.
        if self._trial is None or not math.isfinite(value):
            return False
        try:
            if epoch not in self._reported:
                self._trial.report(value, epoch)
                self._reported.add(epoch)
            if not self._trial.should_prune():
                return False
            self._trial.set_user_attr(PRUNED, epoch + 1)
        except storage_errors() as error:
            log.warning("the search's storage: %s: not judged after epoch %d", first_line(error), epoch + 1)
            return False
        return True


def open_storage(storage: str | None, directory: Path) -> "BaseStorage":
    """Optuna's storage at a database URL, or in a journal file; None for the journal in the sweep's `directory`.

    Raises:
        UserError: it can't be opened.
    """
    from optuna.storages import JournalStorage, get_storage
    from optuna.storages.journal import JournalFileBackend

    if storage is None:
        storage = str(directory / JOURNAL)
    try:
        if "://" in storage:
            return get_storage(storage)
        return JournalStorage(JournalFileBackend(os.path.expanduser(storage)))
    except Exception as error:  # a damaged journal raises whatever Optuna trips over
        raise UserError(f"hydra.sweeper.storage={storage}: can't be opened ({first_line(error)})") from error


def storage_errors() -> tuple[type[Exception], ...]:
    """What Optuna's storages raise when they can't be read or written."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    return OptunaError, SQLAlchemyError, OSError
