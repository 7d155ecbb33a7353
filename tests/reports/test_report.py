import csv
import sys

import pytest

from tests.reports.runs_on_disk import figures, write_run, write_sweep
from vae_lightning.errors import UserError
from vae_lightning.reports.report import write_report
from vae_lightning.reports.runs import find_runs


def test_a_report_is_two_files_in_its_directory(tmp_path):
    sweep = write_sweep(tmp_path / "sweep", [2, 8], [1])
    report = write_report(find_runs(sweep), tmp_path / "new/place", "Two runs")
    assert (report.summary, report.page) == (tmp_path / "new/place/summary.csv", tmp_path / "new/place/index.html")
    assert sorted(file.name for file in report.page.parent.iterdir()) == ["index.html", "summary.csv"]
    assert [record.name for record in report.records] == ["1", "0"]
    with report.summary.open(newline="") as stream:
        assert [row["path"] for row in csv.DictReader(stream)] == ["../../sweep/1", "../../sweep/0"]
    assert "Two runs" in report.page.read_text(encoding="utf-8")


def test_a_report_may_be_written_again_over_the_old_one(tmp_path):
    sweep = write_sweep(tmp_path, [2], [1])
    write_report(find_runs(sweep), sweep, "Old")
    write_run(sweep / "1", {"model__latent_dim": 3}, ["model.latent_dim=3"], figures(-99))
    report = write_report(find_runs(sweep), sweep, "New")
    assert [record.name for record in report.records] == ["1", "0"]
    assert "<title>New</title>" in report.page.read_text(encoding="utf-8")


def test_no_runs_at_all_still_make_a_page(tmp_path):
    assert write_report([], tmp_path, "Nothing").page.is_file()


def test_a_place_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"output=.*file: can't be written to"):
        write_report([write_run(tmp_path / "0", {})], tmp_path / "file", "Title")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_a_name_that_is_no_unicode_does_not_stop_it(tmp_path):
    run = write_run(tmp_path / "r\udce9sum\udce9", {}, [], figures(-100))
    assert "r\\udce9sum" in write_report([run], tmp_path, "Title").page.read_text(encoding="utf-8")
