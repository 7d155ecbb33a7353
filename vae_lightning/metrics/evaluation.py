"""One evaluation of a run: every metric in turn, told and recorded when it is there."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vae_lightning.checkpoints.contents import EPOCH, reading
from vae_lightning.checkpoints.expectations import mapping
from vae_lightning.disk.files import load_json, read_text, write_atomically
from vae_lightning.disk.locks import alone_in
from vae_lightning.errors import UserError, require_at_least
from vae_lightning.machine.hardware import keep_freed_memory
from vae_lightning.machine.interruption import Interrupted, number_of
from vae_lightning.machine.world import World
from vae_lightning.metrics.record import flat, paragraph, replaced
from vae_lightning.metrics.score import Metric, Score
from vae_lightning.metrics.subject import Subject
from vae_lightning.runs.images import SPLIT_NAMES, Split
from vae_lightning.runs.records import metrics_text
from vae_lightning.runs.tested_images import TEST_IMAGES, write_test_images
from vae_lightning.runs.trained import TrainedRun

_MOST_BYTES = 256_000_000  # of a file of figures
SETTINGS, IMAGES = (
    "settings",
    "images",
)  # facts of a metric: how it was asked for, and what tells the images from others


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated, and with what noise.

    Attributes:
        split: of the run's data.
        seed: of the noise; None is the run's own.
        batch_size: images encoded at a time; no figure depends on it.

    Raises:
        ValueError: a batch_size below 1.
    """

    split: Split = "test"
    seed: int | None = None
    batch_size: int = 500

    def __post_init__(self) -> None:
        require_at_least("batch_size", self.batch_size, 1)

    def __call__(
        self,
        run: TrainedRun,
        metrics: dict[str, Metric],
        settings: dict[str, dict[str, Any]],
        world: World,
        out: str | None,
        tell: Callable[[str], None],
    ) -> None:
        """Compute the metrics, and tell of each and record it in `out` or in the run directory as soon as it is there.

        What is recorded there already stays, but for the same keys.

        Args:
            run: the model and its data.
            metrics: by name.
            settings: of each, as it is built of them; recorded with it.
            world: the ranks that share the work.
            out: the file; None for the run directory's own.
            tell: takes paragraphs of text, on rank zero.

        Raises:
            UserError: no images to evaluate, fewer than ranks, or a file that can't be written.
        """
        seed = self._seed(run)
        subject = Subject(run, self.split, seed, self.batch_size, world)
        subject.share(subject.num_images)  # which refuses fewer images than ranks
        if run.vae.num_classes is not None and subject.labels() is None:
            raise UserError(f"split={self.split}: its images have no labels, which this run's model is told")
        path = _place(run, out)
        if run.device.type == "cpu":
            keep_freed_memory()
        for metric in metrics.values():
            metric.check(subject)
        if world.rank == 0:
            checkpoint = f"{run.origin} ({run.checkpoint}), {SPLIT_NAMES[self.split]} images, seed {seed}"
            names = ", ".join(metrics)
            fewer = f"; fewer by metrics=[{','.join(list(metrics)[:2])}]" if len(metrics) > 2 else ""
            tell(f"\n{checkpoint}\n{run.kind}\ncomputed now: {names}{fewer}\n")
        facts = self._facts(run) | {IMAGES: run.data.identity[self.split]}
        places: dict[Path, None] = {}
        for name, metric in metrics.items():
            try:
                score = {name: _timed(metric, subject, facts | {SETTINGS: settings[name]})}
            except KeyboardInterrupt as interrupt:
                raise _interrupted(interrupt, list(metrics), name) from None
            if world.rank == 0:
                record = {f"{self.split}/kind": run.kind} | flat(score, self.split)
                place = path if out is not None else _still_apt(path, run)
                _write(place, record, replaced(score, self.split))
                if out is None and self.split == "test":
                    _keep_rows(score[name], run, place, seed)
                places[place] = None
                tell(f"{paragraph(score[name], self.split)}\n")
        if world.rank == 0:
            tell(f"recorded in {' and '.join(map(str, places))}")

    def recorded(self, run: TrainedRun, settings: dict[str, dict[str, Any]], *, is_moved: bool) -> list[str]:
        """The metrics whose figures are in the run's own file already, computed just as they would be now.

        Args:
            run: the model and its data.
            settings: of each metric.
            is_moved: whether other places of the data were given, so that the images may be others than the run's own.
        """
        record = _recorded(_own_file(run))
        known = (run.images or {}).get(self.split)
        images = run.data.identity[self.split] if is_moved or known is None else known
        facts = self._facts(run) | {IMAGES: images}
        wanted = {name: facts | {SETTINGS: settings[name]} for name in settings}
        return [
            name
            for name in settings
            if all(record.get(f"{self.split}/{name}_{fact}") == value for fact, value in wanted[name].items())
        ]

    def _seed(self, run: TrainedRun) -> int:
        return run.config["seed"] if self.seed is None else self.seed

    def _facts(self, run: TrainedRun) -> dict[str, Any]:
        return {"seed": self._seed(run), "checkpoint": run.checkpoint, "epoch": run.epoch}


def _recorded(path: Path) -> dict[str, Any]:
    try:
        found = load_json(read_text(path, _MOST_BYTES, within=path.parent))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _interrupted(interrupt: KeyboardInterrupt, names: list[str], broken_off: str) -> Interrupted:
    """What is recorded already, and how to have the rest."""
    done, rest = names[: names.index(broken_off)], names[names.index(broken_off) :]
    kept = f"{', '.join(done)} recorded; " if done else ""
    return Interrupted(number_of(interrupt), f"{kept}the rest by metrics=[{','.join(rest)}]")


def _timed(metric: Metric, subject: Subject, facts: dict[str, Any]) -> Score:
    started = time.perf_counter()
    score = metric(subject)
    seconds = {"seconds": round(time.perf_counter() - started, 3)}
    return replace(score, facts=score.facts | seconds | facts)


def _own_file(run: TrainedRun) -> Path:
    """metrics.json holds the figures of the checkpoint that the run itself has tested; others have their own file."""
    is_tested = run.shared is not None or run.checkpoint == run.run_dir.best.name
    return run.run_dir.path / ("metrics.json" if is_tested else f"metrics_{Path(run.checkpoint).stem}.json")


def _place(run: TrainedRun, out: str | None) -> Path:
    path = _own_file(run) if out is None else Path(str(out)).expanduser()
    if run.shared is not None and out is None:  # whose results may be the first that go there
        path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"out={path}: can't be written; give the name of a file in a folder that is there")
    return path


def _still_apt(path: Path, run: TrainedRun) -> Path:
    """The file for the figures, if training has not replaced the checkpoint meanwhile; else one of their own."""
    if run.shared is not None:  # which nobody trains
        return path
    file = run.run_dir.checkpoints / run.checkpoint
    try:
        with reading(file, str(file)) as take:
            epoch = take(mapping({"epoch": EPOCH}))["epoch"] + 1
    except (OSError, UserError):  # gone, or not to be read any more
        epoch = None
    return path if epoch == run.epoch else path.with_name(f"{path.stem}_epoch_{run.epoch:04d}.json")


def _keep_rows(score: Score, run: TrainedRun, place: Path, seed: int) -> None:
    """Keep the figures of each image where they are those of the run's own metrics.json."""
    if score.rows is None or run.shared is not None or place != run.run_dir.path / "metrics.json":
        return
    try:
        write_test_images(run.run_dir, score.rows, run.epoch, seed)
    except OSError as error:
        raise UserError(f"{run.run_dir.path / TEST_IMAGES}: can't be written ({error.strerror or error})") from error


def _write(path: Path, record: dict[str, Any], out_of_date: set[str]) -> None:
    try:
        with alone_in(path.parent):  # training may be writing its own figures there
            before = load_json(read_text(path, _MOST_BYTES)) if os.path.lexists(path) else {}
            kept = {name: value for name, value in before.items() if name in record or name not in out_of_date}
            write_atomically(path, metrics_text(kept | record), durable=True)
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"out={path}: can't be written ({error})") from error
