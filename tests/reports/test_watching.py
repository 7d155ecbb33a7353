import pytest

from tests.reports.runs_on_disk import figures, write_run
from vae_lightning.errors import UserError
from vae_lightning.reports import watching
from vae_lightning.reports.runs import find_runs
from vae_lightning.reports.watching import watched_reports


@pytest.fixture
def training(monkeypatch):
    """Directories that are being trained."""
    live: set = set()
    monkeypatch.setattr(watching.RunDir, "is_training", lambda run: run.path.name in live)
    return live


def page(path) -> str:
    return (path / "index.html").read_text(encoding="utf-8")


def test_the_page_is_written_anew_until_no_run_is_trained(tmp_path, training):
    training.add("0")
    write_run(tmp_path / "0", {}, [], status="running")
    reports = watched_reports(lambda: find_runs(tmp_path), tmp_path, "Sweep", look_s=0.01)
    assert [record.status for record in next(reports).records] == ["running"]
    assert 'data-reload="15"' in page(tmp_path)
    write_run(tmp_path / "1", {"seed": 1}, ["seed=1"], figures(-100))
    assert len(next(reports).records) == 2
    training.clear()
    (last,) = reports
    assert len(last.records) == 2
    assert "data-reload" not in page(tmp_path)


def test_nothing_is_written_while_nothing_changes(tmp_path, training):
    write_run(tmp_path / "0", {}, [], figures(-100))
    reports = watched_reports(lambda: find_runs(tmp_path), tmp_path, "Sweep", look_s=0.001)
    assert len(list(reports)) == 2  # once to begin with, and once without loading itself anew


def test_one_who_stops_it_leaves_a_page_that_stays(tmp_path, training):
    training.add("0")
    write_run(tmp_path / "0", {}, [], figures(-100))
    reports = watched_reports(lambda: find_runs(tmp_path), tmp_path, "Sweep", look_s=0.01)
    next(reports)
    with pytest.raises(KeyboardInterrupt):
        reports.throw(KeyboardInterrupt)
    assert "data-reload" not in page(tmp_path)


def test_a_sweep_without_a_job_yet_is_waited_for(tmp_path, training):
    (tmp_path / "multirun.yaml").write_text("")
    training.add("0")
    looks = []

    def find():
        looks.append(1)
        if len(looks) == 4:
            write_run(tmp_path / "0", {}, [], figures(-100))
        return find_runs(tmp_path)

    reports = watched_reports(find, tmp_path, "Sweep", look_s=0.001)
    assert len(next(reports).records) == 1
    reports.close()


def test_a_sweep_that_is_gone_is_told_in_a_line(tmp_path, training):
    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(UserError, match="its runs can't be looked for any more"):
        next(watched_reports(gone, tmp_path, "Sweep", look_s=0.001))
