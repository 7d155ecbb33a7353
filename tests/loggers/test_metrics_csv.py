"""metrics.csv holds every row once, also when a run is resumed or the disk was full for a while."""

import csv

from tests.disk.full import full
from vae_lightning.loggers.metrics_csv import MetricsCSV


def rows(path):
    with (path / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_columns_that_come_later_are_added(tmp_path):
    logger = MetricsCSV(str(tmp_path))
    logger.log_metrics({"epoch": 0, "train/loss": 3.0}, step=9)
    logger.save()
    logger.log_metrics({"epoch": 0, "val/elbo": -2.0}, step=9)
    logger.log_metrics({"epoch": 1, "train/loss": 1.0}, step=19)
    logger.save()
    first, second, third = rows(tmp_path)
    assert list(first) == ["epoch", "step", "train/loss", "val/elbo"]
    assert (first["train/loss"], first["val/elbo"]) == ("3.0", "")
    assert (second["step"], second["val/elbo"]) == ("9", "-2.0")
    assert (third["epoch"], third["train/loss"]) == ("1", "1.0")


def test_a_resumed_run_goes_on_where_the_checkpoint_stopped(tmp_path):
    before = MetricsCSV(str(tmp_path))
    for step in (9, 19, 29):
        before.log_metrics({"epoch": step // 10, "train/loss": float(step)}, step=step)
    before.save()
    after = MetricsCSV(str(tmp_path), first_step=20)
    after.log_metrics({"epoch": 2, "train/loss": 0.5}, step=29)
    after.save()
    assert [(row["step"], row["train/loss"]) for row in rows(tmp_path)] == [("9", "9.0"), ("19", "19.0"), ("29", "0.5")]


def test_no_row_of_figures_is_lost(tmp_path):
    logger = MetricsCSV(str(tmp_path))
    logger.log_metrics({"epoch": 0, "loss": 1.5}, step=0)
    logger.save()
    room = (tmp_path / "metrics.csv").stat().st_size
    before = (tmp_path / "metrics.csv").read_bytes()
    with full(room + 3):
        for step in (1, 2):
            logger.log_metrics({"epoch": 0, "loss": 2.5}, step=step)
            logger.save()
            assert (tmp_path / "metrics.csv").read_bytes() == before
        logger.log_metrics({"epoch": 0, "loss": 3.5, "new": 1.0}, step=3)
        logger.save()
        assert (tmp_path / "metrics.csv").read_bytes() == before
    logger.log_metrics({"epoch": 0, "loss": 4.5}, step=4)
    logger.save()
    found = [(row["step"], row["loss"]) for row in rows(tmp_path)]
    assert found == [("0", "1.5"), ("1", "2.5"), ("2", "2.5"), ("3", "3.5"), ("4", "4.5")]
    assert "new" in (tmp_path / "metrics.csv").read_text().splitlines()[0]
