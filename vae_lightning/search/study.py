"""Optuna's side of a hyperparameter search: which trials there are, which are to be run, and what came of them."""

import logging
import math
import os
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
import yaml
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from vae_lightning.callbacks.pruning import DEFAULT_STUDY, PRUNED, open_storage, storage_errors
from vae_lightning.disk.files import read_text, write_atomically
from vae_lightning.errors import UserError
from vae_lightning.search.space import SearchSpace

log = logging.getLogger("vae_lightning")

_OWNER = "search"  # the trial's user attribute that names the search, and so the sweep directory, that runs it
_DIRECTORY = "directory"


@dataclass(frozen=True)
class SearchSettings:
    """The keys of `hydra.sweeper`; conf/hydra/sweeper/optuna.yaml tells what each is.

    Raises:
        ValueError: a setting that can't be.
    """

    metric: str
    direction: Literal["maximize", "minimize"]
    n_trials: int
    n_jobs: int = 1
    storage: str | None = None
    study_name: str | None = None
    params: dict[str, Any] | None = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.n_trials < 1:
            raise ValueError(f"n_trials must be at least 1, got {self.n_trials}")
        if self.n_jobs < 1 and self.n_jobs != -1:
            raise ValueError(f"n_jobs must be at least 1, or -1 for one a core, got {self.n_jobs}")
        if self.storage is not None and self.study_name is None:
            raise ValueError(f"study_name must be given with hydra.sweeper.storage={self.storage}")


class SearchStudy:
    """The trials of a study, as the search of one sweep directory asks for them and tells of them.

    Args:
        settings: the search's settings.
        space: what is searched.
        directory: the sweep's; the run of trial N lies in `<directory>/<N>`.
        make_sampler: an Optuna sampler for the trial of a number.
        pruner: an Optuna pruner; the trials ask it themselves, but some samplers want to know it.

    Raises:
        UserError: the storage can't be opened, or holds a study of that name that this search can't go on with.
    """

    def __init__(
        self,
        settings: SearchSettings,
        space: SearchSpace,
        directory: Path,
        make_sampler: Callable[[int], BaseSampler],
        pruner: optuna.pruners.BasePruner,
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.settings = settings
        self.space = space
        self.directory = directory
        self._make_sampler = make_sampler
        self._study = _open_study(settings, directory, pruner)
        self._exhausted = False
        space.check_known(self._trials())
        self._name = _name_of(directory)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    @property
    def num_left(self) -> int:
        """How many trials are still to be asked for; those that are running, here or elsewhere, are not."""
        asked = sum(trial.state != TrialState.WAITING for trial in self._trials())
        return 0 if self._exhausted else max(0, self.settings.n_trials - asked)

    def interrupted(self) -> list[Trial]:
        """The trials that an earlier process of this search began and did not finish.

        Those of another sweep directory in the same storage are left alone: they may be running there.
        """
        running = [trial for trial in self._trials() if trial.state == TrialState.RUNNING and self._is_own(trial)]
        return [Trial(self._study, trial._trial_id) for trial in running]

    def _is_own(self, trial: FrozenTrial) -> bool:
        # A journal of the sweep's own has no other owner, even if the process was killed before it signed the trial.
        return self.settings.storage is None or trial.user_attrs.get(_OWNER) == self._name

    def ask(self) -> Trial:
        """A new trial, whose values come with `overrides`."""
        self._study.sampler = self._make_sampler(len(self._trials()))
        trial = self._study.ask()
        trial.set_user_attr(_OWNER, self._name)
        trial.set_user_attr(_DIRECTORY, os.path.abspath(self.directory / str(trial.number)))
        return trial

    def overrides(self, trial: Trial) -> list[str]:
        """The overrides of the trial's job, the same ones whenever they are asked for.

        Raises:
            UserError: the sampler needs a package that is not installed.
        """
        self._study.sampler = self._make_sampler(trial.number)
        try:
            values = self.space.suggest(trial)
        except ImportError as error:
            raise UserError(f"hydra.sweeper.sampler: {str(error).splitlines()[0]}") from error
        # The number makes it a job of its own: the sweep takes equal overrides for the same job, run twice.
        return [*self.space.overrides(values), f"trial={trial.number}"]

    def tell(self, number: int, metrics: dict[str, Any] | None) -> None:
        """Record what became of a trial: its final figures, or None where its run failed.

        Raises:
            UserError: the runs give no figure of the name that is searched for.
        """
        name, found = self.settings.metric, metrics or {}
        value = found.get(name)
        if not isinstance(value, int | float) or not math.isfinite(value):
            if name in found:
                log.warning("trial %d failed: %s is %s", number, name, value)
            self._finish(number, None, TrialState.FAIL)
        elif PRUNED in self._trials()[number].user_attrs:
            self._finish(number, None, TrialState.PRUNED)
        else:
            self._finish(number, float(value), TrialState.COMPLETE)
        if found and name not in found:
            valid = ", ".join(sorted(key for key, figure in found.items() if isinstance(figure, float)))
            raise UserError(f"hydra.sweeper.metric={name}: no such figure of a run; valid here: {valid}")

    def _finish(self, number: int, value: float | None, state: TrialState) -> None:
        try:
            self._study.tell(number, value, state=state)
        except RuntimeError as error:
            # How a sampler that has gone through its whole grid says so; the trial is recorded all the same.
            if "Study.stop" not in str(error):
                raise
            self._exhausted = True

    def report_best(self) -> None:
        """Log the best trial and write its overrides to `best_params.yaml` in the sweep's directory.

        Raises:
            UserError: no trial has finished.
        """
        if not any(trial.state == TrialState.COMPLETE for trial in self._trials()):
            raise UserError(f"{self.directory}: none of the search's {len(self._trials())} trials has finished")
        best = self._study.best_trial
        own = self.directory / str(best.number)
        place = own if self._is_own(best) else best.user_attrs.get(_DIRECTORY, "unknown")
        overrides = SearchSpace({}).overrides(best.params)
        told = f"trial {best.number}: {self.settings.metric} {best.value:,.2f}, in {place}"
        write_atomically(self.directory / "best_params.yaml", f"# {told}\n{yaml.safe_dump(overrides, width=1000)}")
        log.info("best of %s", self._census())
        log.info("%s: %s", told, " ".join(overrides))

    def _census(self) -> str:
        states = [trial.state for trial in self._trials()]
        counts = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        told = ", ".join(f"{states.count(state)} {name}" for name, state in counts.items() if state in states)
        return f"{len(states)} trials ({told})"


def _open_study(settings: SearchSettings, directory: Path, pruner: optuna.pruners.BasePruner) -> optuna.Study:
    name, direction = settings.study_name or DEFAULT_STUDY, settings.direction
    unusable = storage_errors()
    try:
        if settings.storage is None:
            _make(directory)
        storage = open_storage(settings.storage, directory)
        study = optuna.create_study(
            storage=storage, study_name=name, direction=direction, load_if_exists=True, pruner=pruner
        )
    except unusable as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"hydra.sweeper.storage={settings.storage}: can't be used ({reason})") from error
    known = " and ".join(known.name.lower() for known in study.directions)
    if known != direction:
        raise UserError(
            f"hydra.sweeper.direction={direction}: the study {name} is there already, and is to {known}; "
            "choose another hydra.sweeper.study_name"
        )
    _make(directory)  # not before now: a mistake leaves nothing behind
    return study


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"sweep_dir: {directory} can't be made ({error.strerror})") from error


def _name_of(directory: Path) -> str:
    """What the search in a directory signs its trials with, wherever the directory is moved."""
    file = directory / "search_id"
    if not file.is_file():
        write_atomically(file, uuid.uuid4().hex)
    return read_text(file)


def quiet_experimental() -> None:
    """Keep Optuna from warning that a sampler or pruner, which the user has chosen by name, is experimental."""
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
