"""MLflow: `logger=mlflow`, by default into a store of its own beside the runs."""

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from vae_lightning.disk.files import check_regular
from vae_lightning.disk.locks import HeldError, NoLocksError, hold
from vae_lightning.errors import UserError
from vae_lightning.loggers.tracker import Row, Tracker, written
from vae_lightning.machine.environment import environment

log = logging.getLogger("vae_lightning")

_STORE, _FILES, _LOCK = "mlflow.db", "mlflow-files", ".mlflow.lock"
_PATIENCE_S = 60.0  # for another process that makes the store
_MOST_METRICS, _MOST_PARAMS = 1_000, 100  # of a request, by MLflow's limits
_LONGEST_VALUE, _LONGEST_NAME = 6_000, 250
_STATUSES = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
# Else a server that is not there holds up the training for minutes, each time that it is told something.
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


class MLflow(Tracker):
    """Tells MLflow of a run: figures over optimizer steps, pictures, animations, parameters, texts, and how it ended.

    The run's own tags, with commas between them, are the one that MLflow calls `tags`. A sweep's runs have the name of
    its directory as their tag `sweep`, by which MLflow's page groups them. A parameter that a resumed run has
    otherwise, which MLflow does not let change, becomes a tag.

    Args:
        run_dir, first_step: those of `Tracker`.
        run_tags: the run's.
        output_dir: where the store lies, unless it is said otherwise; None for beside the run directory.
        tracking_uri: of a server or another store; None for what the variable MLFLOW_TRACKING_URI says, and where it
            says nothing for `mlflow.db` in `output_dir`, with the pictures in `mlflow-files` beside it.
        experiment_name: of MLflow, which makes it where it is new.

    Raises:
        UserError: mlflow is not installed, or what has the store's name is no file.
    """

    service = "mlflow"
    pattern = r"[0-9a-f]{32}"
    most_figures = _MOST_METRICS

    def __init__(
        self,
        run_dir: str,
        first_step: int = 0,
        output_dir: str | None = None,
        run_tags: list[str] | None = None,
        *,
        tracking_uri: str | None = None,
        experiment_name: str = "vae_lightning",
    ):
        super().__init__(run_dir, first_step)
        _import()
        self._experiment_name = experiment_name
        self._tags = {"tags": ", ".join(run_tags)} if run_tags else {}
        named = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._store = None if named else _store_in(Path(output_dir or self.run_dir.parent).absolute())
        self._uri = named or f"sqlite:///{self._store}"

    def begin(self, known: str | None) -> tuple[Any, str]:
        with _bounded(), self._alone():
            from mlflow import MlflowClient

            client = MlflowClient(self._uri)
            run = known and self._gone_on_with(client, known)
            if run:
                for key, text in self._tags.items():
                    client.set_tag(run.info.run_id, key, text)
            else:
                tags = {"mlflow.runName": self.run_name, "run_dir": str(self.run_dir)}
                tags |= self._tags | ({"sweep": self.sweep} if self.sweep else {})
                run = client.create_run(self._experiment_id(client), tags=tags)
        is_server = self._uri.startswith("http")
        log.info("logger=mlflow: %s%s", "" if is_server else "mlflow ui --backend-store-uri ", self.address)
        return client, run.info.run_id

    @property
    def address(self) -> str:
        return re.sub(r"//[^/@]*@", "//", self._uri)  # without a password

    def send_settings(self, settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Param, RunTag

        with _bounded():
            texts = {name: str(value)[:_LONGEST_VALUE] or "''" for name, value in settings.items()}
            there = self.experiment.get_run(self.version).data.params
            new = [Param(name, text) for name, text in texts.items() if name not in there]
            changed = [RunTag(name, text) for name, text in texts.items() if there.get(name, text) != text]
            for start in range(0, len(new), _MOST_PARAMS):
                self.experiment.log_batch(self.version, params=new[start : start + _MOST_PARAMS])
            self.experiment.log_batch(self.version, tags=changed[:_MOST_PARAMS])

    def send_figures(self, rows: list[Row]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(_plain(name), value, int(row.time * 1000), row.step or 0)
            for row in rows
            for name, value in row.figures.items()
        ]
        with _bounded():
            for start in range(0, len(metrics), _MOST_METRICS):
                self.experiment.log_batch(self.version, metrics=metrics[start : start + _MOST_METRICS])

    def send_picture(self, tag: str, encoded: bytes, step: int) -> None:
        # As a file: MLflow's grid of images hides them below a run's parameters, and does not let a GIF move.
        suffix = "gif" if tag.startswith("animations/") else "png"
        with _bounded():
            self._send_file(f"step_{step:08d}.{suffix}", encoded, tag)

    def send_text(self, tag: str, text: str) -> None:
        with _bounded():
            self._send_file(f"{tag}.txt", text.encode(), None)

    def send_end(self, status: str, reason: str | None, figures: Mapping[str, Any]) -> None:
        numbers = {name: value for name, value in figures.items() if isinstance(value, int | float)}
        with _bounded():
            for name, value in numbers.items():
                self.experiment.log_metric(self.version, _plain(f"final/{name}"), value)
            texts = {name: value for name, value in figures.items() if isinstance(value, str)}
            for name, text in {**texts, "status": status, **({"reason": reason} if reason else {})}.items():
                self.experiment.set_tag(self.version, name, text[:_LONGEST_VALUE])
            self.experiment.set_terminated(self.version, _STATUSES[status])

    def _gone_on_with(self, client: Any, known: str) -> Any:
        """The run of that name, running again; None where the store has none such."""
        from mlflow.exceptions import MlflowException

        try:
            run = client.get_run(known)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            log.warning(
                "logger=mlflow: %s does not have this run, which begins anew there; "
                "output_dir= or logger.mlflow.tracking_uri= names another store",
                self.address,
            )
            return None
        client.update_run(known, status="RUNNING")
        for name in {"status", "reason"} & run.data.tags.keys():
            client.delete_tag(known, name)
        return run

    def _experiment_id(self, client: Any) -> str:
        found = client.get_experiment_by_name(self._experiment_name)
        if found is not None:
            return found.experiment_id
        files = (self._store.parent / _FILES).as_uri() if self._store else None
        return client.create_experiment(self._experiment_name, artifact_location=files)

    def _send_file(self, name: str, content: bytes, folder: str | None) -> None:
        with tempfile.TemporaryDirectory() as place:
            self.experiment.log_artifact(self.version, written(place, name, content), folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the store's folder, so that no two processes make the store or the experiment at once."""
        with ExitStack() as held:
            if self._store is not None:
                self._store.parent.mkdir(parents=True, exist_ok=True)
                with suppress(NoLocksError, HeldError):
                    held.enter_context(hold(self._store.parent / _LOCK, _PATIENCE_S))
            yield


def _store_in(folder: Path) -> Path:
    """The store's file, which may be absent; not a link, say, which could lead anywhere."""
    store = folder / _STORE
    try:
        check_regular(store)
    except ValueError as error:
        raise UserError(
            f"logger=mlflow: {store} is {error}; remove it, or name a store by logger.mlflow.tracking_uri=sqlite:///<file>"
        ) from error
    return store


def _plain(name: str) -> str:
    """A name of letters that MLflow takes, and as long as it takes: else it would refuse all figures from then on."""
    return re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII)[:_LONGEST_NAME]


@contextmanager
def _bounded() -> Iterator[None]:
    """Be impatient with a server, unless the user's environment says how patient to be; what it logs, we tell."""
    own = logging.getLogger("mlflow")
    level = own.level
    own.setLevel(logging.CRITICAL)
    try:
        with environment(**{name: value for name, value in _IMPATIENT.items() if name not in os.environ}):
            yield
    finally:
        own.setLevel(level)


def _import() -> None:
    # It tells its makers of each use, unless asked not to.
    telemetry = os.environ.get("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        with environment(MLFLOW_DISABLE_TELEMETRY=telemetry):
            import mlflow  # noqa: F401
    except ImportError as error:
        message = 'logger=mlflow: mlflow is not installed: pip install "vae-lightning[mlflow]"'
        raise UserError(message) from error
