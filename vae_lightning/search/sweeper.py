"""`hparams_search=optuna`: a Hydra sweeper that asks Optuna for trials and hands them to Hydra's launcher in batches.

The published plugin, hydra-optuna-sweeper 1.3.0, requires optuna<3.0 and can't be used with today's Optuna. This one
speaks Optuna's ask-and-tell interface and launches its batches as Hydra's own basic sweeper does. So a trial is an
ordinary job of a sweep, with its own run directory and its own processes, under any launcher; and what holds for
sweeps holds for it.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from vae_lightning.config import checked, instantiate, plain
from vae_lightning.disk.locks import HeldError, hold
from vae_lightning.errors import UserError, first_line
from vae_lightning.machine.hardware import num_cpus

if TYPE_CHECKING:  # Optuna is imported only by a search: every command imports this module
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

    from vae_lightning.search.space import SearchSpace
    from vae_lightning.search.study import SearchSettings, SearchStudy

log = logging.getLogger("vae_lightning")

_KEY = "hydra.sweeper"
_SEQUENCES = ("QMCSampler", "GridSampler")  # whose seed names one sequence; the study knows how far it has got


def register() -> None:
    """Make the sweeper known to Hydra, under the name that conf/hydra/sweeper/optuna.yaml gives it."""
    # Hydra takes plugins only by a name in its namespace package; the name needs no file there.
    Plugins.instance().class_name_to_class["hydra_plugins.vae_lightning.OptunaSweeper"] = OptunaSweeper


class OptunaSweeper(Sweeper):
    """Searches for the overrides of the best run; the settings are the keys of conf/hydra/sweeper/optuna.yaml."""

    def __init__(self, sampler: Any = None, pruner: Any = None, **settings: Any):
        # Looked at in `sweep` only: of what is raised here Hydra would make many lines.
        self._sampler, self._pruner, self._settings = plain(sampler), plain(pruner), settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run the search that these overrides describe, or what is left of it, and report the best trial.

        Raises:
            UserError: settings or a space that can't be, no Optuna, a storage that can't be used, another process
                that runs the same search, or no trial that finished.
        """
        _check_installed()
        assert self.config is not None
        settings, directory = self._read_settings(), Path(self.config.hydra.sweep.dir)
        space = self._read_space(settings, arguments)
        pruner, _ = self._build_pruner(), self._build_sampler(0)
        from vae_lightning.search.study import SearchStudy

        study = SearchStudy(settings, space, directory, self._build_sampler, pruner)
        with _alone_in(directory):
            OmegaConf.save(self.config, directory / "multirun.yaml")
            returns = self._search(study)
        study.report_best()
        return returns

    def _read_settings(self) -> "SearchSettings":
        from vae_lightning.search.study import SearchSettings

        return checked(SearchSettings, {name: plain(value) for name, value in self._settings.items()}, _KEY)

    def _read_space(self, settings: "SearchSettings", arguments: list[str]) -> "SearchSpace":
        from vae_lightning.search.space import parse_space

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        space = parse_space(parser, settings.params or {}, arguments)
        self.validate_batch_is_legal(space.corners())
        return space

    def _build_pruner(self) -> Any:
        from optuna.pruners import BasePruner, NopPruner

        return NopPruner() if self._pruner is None else _build(self._pruner, f"{_KEY}.pruner", BasePruner)

    def _build_sampler(self, number: int) -> "BaseSampler":
        """The sampler of one trial, seeded with its number.

        With one sampler from start to end, a search that is gone on with would draw again what it drew first.
        """
        from optuna.samplers import BaseSampler

        from vae_lightning.noise import derive_seed

        node = self._sampler
        seed = node.get("seed") if isinstance(node, dict) else None
        if isinstance(seed, int) and not str(node.get("_target_")).endswith(_SEQUENCES):
            node = {**node, "seed": derive_seed(seed, number) % 2**32}
        return _build(node, f"{_KEY}.sampler", BaseSampler)

    def _search(self, study: "SearchStudy") -> list[Sequence[JobReturn]]:
        from vae_lightning.runs.opening import check_idle
        from vae_lightning.runs.records import RunDir

        waiting, returns = study.interrupted(), []
        for trial in waiting:
            check_idle(RunDir(study.directory / str(trial.number)), f"sweep={study.directory}")
        size = num_cpus() if study.settings.n_jobs == -1 else study.settings.n_jobs
        while waiting or study.num_left:
            again, waiting = waiting[:size], waiting[size:]
            new = [study.ask() for _ in range(min(size - len(again), study.num_left))]
            for trials in _neighbours(again + new):
                returns.append(self._launch(study, trials))
        return returns

    def _launch(self, study: "SearchStudy", trials: list["Trial"]) -> Sequence[JobReturn]:
        assert self.launcher is not None
        jobs = [study.overrides(trial) for trial in trials]
        results = self.launcher.launch(jobs, initial_job_idx=trials[0].number)
        for trial, result in zip(trials, results, strict=True):
            study.tell(trial.number, _metrics(trial.number, result))
        return results


def _check_installed() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        message = 'hparams_search=optuna: Optuna is not installed: pip install "vae-lightning[search]"'
        raise UserError(message) from error


def _build(node: Any, key: str, kind: type) -> Any:
    from vae_lightning.search.study import quiet_experimental

    quiet_experimental()
    built = instantiate(node, key)
    if not isinstance(built, kind):
        raise UserError(f"{key} must have a _target_ that is an Optuna {kind.__name__}, got {node}")
    return built


def _neighbours(trials: list["Trial"]) -> Iterator[list["Trial"]]:
    """Split trials where their numbers leave a gap: a launcher counts its jobs on from the first one's number."""
    group: list[Trial] = []
    for trial in trials:
        if group and trial.number != group[-1].number + 1:
            yield group
            group = []
        group.append(trial)
    if group:
        yield group


def _metrics(number: int, result: JobReturn) -> dict[str, Any] | None:
    try:
        with redirect_stderr(StringIO()):  # where Hydra would name the overrides of a job that failed
            return result.return_value
    except Exception as error:
        log.error("trial %d: %s", number, first_line(error))
        return None


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Hold the search's directory: what another process is running must not be run again."""
    try:
        with hold(directory / ".search.lock"):
            yield
    except HeldError as error:
        raise UserError(f"sweep={directory}: another process is running this search") from error
