"""The report command: what it accepts, what it prints, and how it tells a mistake."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import refusal
from tests.reports.runs_on_disk import figures, write_run, write_seeds, write_sweep
from vae_lightning.report import main


@pytest.fixture
def report(monkeypatch, tmp_path, capsys):
    """Call the report command in an empty folder and return what it printed."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-report", *arguments])
        main()
        return capsys.readouterr().out

    return call


@pytest.fixture
def error_of(report):
    """The one line with which the report command refuses."""

    def call(*arguments: str) -> str:
        message = refusal(report, *arguments)
        assert list(Path.cwd().iterdir()) == []
        return message

    return call


def test_a_sweep_gets_its_report_inside_and_nothing_else_is_written(report, tmp_path):
    sweep = write_sweep(tmp_path / "sweep", [2, 8], [1, 4])
    printed = report(f"sweep={sweep}")
    assert "latent_dim" in printed.splitlines()[0]
    assert f"report    {sweep / 'index.html'}" in printed
    assert (sweep / "summary.csv").is_file()
    assert "<h1>Sweep sweep</h1>" in (sweep / "index.html").read_text(encoding="utf-8")
    assert list(Path.cwd().iterdir()) == []


def test_any_runs_get_theirs_where_it_is_wanted(report, tmp_path):
    for name in ("1_mlp", "2_mlp", "conv"):
        write_run(tmp_path / name, {"model__latent_dim": len(name)}, [], figures(-100))
    printed = report(f"runs=[{tmp_path}/*_mlp,{tmp_path}/conv]")
    assert "report    outputs/report/index.html" in printed
    assert all(name in printed for name in ("1_mlp", "2_mlp", "conv"))
    report(f"runs={tmp_path}/conv", f"output={tmp_path / 'there'}")
    assert (tmp_path / "there/index.html").is_file()


def test_mistakes_are_told_in_one_line(error_of, tmp_path):
    (tmp_path / "empty").mkdir()
    run = write_run(tmp_path / "run", {})
    either = "give either sweep=<a sweep's directory> or runs=[<run directory>,...]"
    assert error_of() == either
    assert error_of(f"sweep={tmp_path}", f"runs=[{run}]") == either
    assert error_of("sweep=nowhere") == "sweep=nowhere: no such directory"
    assert error_of(f"sweep={tmp_path / 'empty'}").endswith("there is no run in it (a folder with a config.yaml)")
    assert "this is a run, not a sweep" in error_of(f"sweep={run}")
    assert error_of("runs=[nowhere]") == "runs=nowhere: no such directory"
    assert (
        error_of("swep=x")
        == "swep: no such key; did you mean sweep? valid here: fields, output, runs, sweep, table, watch"
    )
    assert error_of("data=mnist") == "data: no such key; valid here: fields, output, runs, sweep, table, watch"
    assert error_of(f"sweep={tmp_path}", "+outptu=x").startswith("outptu: no such key; did you mean output?")
    assert error_of("-m", "sweep=a,b").startswith("-m: a report is made once")
    assert error_of(f"sweep={tmp_path}", f"output={run / 'config.yaml'}").endswith("can't be written to (File exists)")


def test_help_and_a_report_need_no_torch(tmp_path):
    sweep = write_sweep(tmp_path / "sweep", [2, 8], [1])
    program = (
        "import contextlib, sys\nfrom vae_lightning.report import main\n"
        "main()\nsys.argv[1:] = ['--help']\n"
        "with contextlib.suppress(SystemExit):\n    main()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, f"sweep={sweep}"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    assert "python -m vae_lightning.report sweep=" in done.stdout


def test_a_report_that_is_to_lie_in_a_run_does_not_leave_it_by_a_link(report, error_of, tmp_path):
    write_run(tmp_path / "run", metrics=figures(-90.0))
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "run/report").symlink_to(outside)
    assert "a link leads out of" in error_of(f"runs=[{tmp_path / 'run'}]", f"output={tmp_path / 'run/report'}")
    assert list(outside.iterdir()) == []
    report(f"runs=[{tmp_path / 'run'}]", f"output={tmp_path / 'run/other'}")
    assert (tmp_path / "run/other/index.html").is_file()


def test_a_table_for_a_paper_is_printed_and_written_and_nothing_else(report, error_of, tmp_path):
    sweep = write_seeds(tmp_path / "sweep", {2: [-150, -151], 8: [-140, -141]})
    printed = report(f"sweep={sweep}", "table=latex", "fields=[latent_dim,seeds,elbo]")
    assert r"8 & 2 & \textbf{$-$140.50 $\pm$ 0.71} \\" in printed
    assert (sweep / "table.tex").read_text(encoding="utf-8") in f"{printed}\n"
    assert not (sweep / "index.html").exists()
    report(f"sweep={sweep}", "table=markdown", f"output={tmp_path / 'there'}")
    assert (tmp_path / "there/table.md").is_file()
    assert error_of(f"sweep={sweep}", "table=word") == "table=word: choose latex or markdown"
    assert error_of(f"sweep={sweep}", "fields=elbo").startswith("fields: are those of a table")
    assert error_of(f"sweep={sweep}", "table=latex", "fields=[]").startswith("fields=[]: give names")
    assert "a table is written once" in error_of(f"sweep={sweep}", "table=latex", "watch=true")
    assert error_of(f"sweep={sweep}", "watch=maybe") == "watch=maybe: expected true or false"


def test_seeds_have_a_file_of_their_own_and_it_goes_when_they_do(report, tmp_path):
    sweep = write_seeds(tmp_path / "sweep", {2: [-150, -151], 8: [-140, -141]})
    printed = report(f"sweep={sweep}", f"output={tmp_path / 'there'}")
    assert f"seeds     {tmp_path / 'there/summary_seeds.csv'}" in printed
    (first, *_) = csv.DictReader((tmp_path / "there/summary_seeds.csv").open())
    assert (first["model.latent_dim"], first["n"], first["seeds"], first["test/elbo_mean"]) == (
        "8",
        "2",
        "0, 1",
        "-140.5",
    )
    assert float(first["test/elbo_sd"]) == pytest.approx(0.7071068)
    assert len(list(csv.DictReader((tmp_path / "there/summary.csv").open()))) == 4
    report(f"runs=[{sweep / '0'},{sweep / '2'}]", f"output={tmp_path / 'there'}")
    assert not (tmp_path / "there/summary_seeds.csv").exists()
