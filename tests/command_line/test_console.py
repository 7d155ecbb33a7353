"""What a command prints of texts that a stranger may have written."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vae_lightning.command_line.console import print_run, reporting_errors
from vae_lightning.errors import UserError, one_line, plain_lines
from vae_lightning.likelihood.kind import DENSITY
from vae_lightning.machine.interruption import Interrupted
from vae_lightning.runs.records import RunDir, typed

DRIVING = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def test_only_line_breaks_are_kept_of_what_drives_a_terminal():
    assert one_line(f"a{DRIVING}\nb") == rf"a{SHOWN}\nb"
    assert plain_lines(f"a{DRIVING}\nb\n") == f"a{SHOWN}\nb\n"
    assert plain_lines("Größe 3, 漢字 🙂 a‍b") == "Größe 3, 漢字 🙂 a‍b"


def test_what_a_finished_run_tells_drives_no_terminal(tmp_path, capsys):
    (tmp_path / f"images/{DRIVING.replace('/', '')}").mkdir(parents=True)
    figures = {f"test/{name}{end}": -1.0 for name in ("elbo", "rate", "distortion") for end in ("", "_stderr")}
    (tmp_path / "metrics.json").write_text(json.dumps(figures | {"test/kind": DRIVING}))
    print_run(RunDir(tmp_path), str(tmp_path))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert f"({SHOWN})" in out


def test_the_commands_that_are_shown_can_be_typed_whatever_the_places_are_called(tmp_path, capsys):
    run = tmp_path / "it's (a) run"
    run.mkdir()
    figures = {f"test/{name}{end}": -1.0 for name in ("elbo", "rate", "distortion") for end in ("", "_stderr")}
    (run / "metrics.json").write_text(json.dumps(figures | {"test/kind": "kind"}))
    print_run(RunDir(run), f"{tmp_path}")
    lines = {line[:16].strip(): line[16:] for line in capsys.readouterr().out.splitlines()}
    assert shlex.split(lines["TensorBoard"])[-2:] == ["--logdir", f"{tmp_path}"]
    print_run(RunDir(run), f"{tmp_path}/outputs")  # it was moved
    lines = {line[:16].strip(): line[16:] for line in capsys.readouterr().out.splitlines()}
    assert shlex.split(lines["TensorBoard"])[-2:] == ["--logdir", str(run)]
    assert shlex.split(lines["more figures"])[-1] == "run='{}'".format(str(run).replace("'", "\\'"))


def test_figures_of_one_image_are_told_without_an_interval(tmp_path, capsys):
    figures = {f"test/{name}": -1.0 for name in ("elbo", "rate", "distortion")} | {"test/elbo_stderr": 0.5}
    (tmp_path / "metrics.json").write_text(json.dumps(figures | {"test/kind": "kind"}))
    print_run(RunDir(tmp_path), str(tmp_path))
    lines = {line[:16].strip(): line[16:] for line in capsys.readouterr().out.splitlines()}
    assert (lines["test elbo"], lines["test rate"]) == ("-1.00 +- 0.50 nats per image", "-1.00 nats per image")


def test_what_is_no_likelihood_is_not_told_in_nats(tmp_path, capsys):
    figures = {f"test/{name}": -1.0 for name in ("elbo", "rate", "distortion")}
    kind = "MS-SSIM over 2 scales, no likelihood and no nats, given the label"
    (tmp_path / "metrics.json").write_text(json.dumps(figures | {"test/kind": kind}))
    print_run(RunDir(tmp_path), str(tmp_path))
    lines = {line[:16].strip(): line[16:] for line in capsys.readouterr().out.splitlines()}
    assert lines["test elbo"] == lines["test distortion"] == "-1.00 per image, no nats"
    assert lines["test rate"] == "-1.00 nats per image"


@pytest.mark.parametrize("arguments", [["--help"], ["runs={0}"]])
def test_a_pipe_that_is_read_no_further_ends_a_command_quietly(digits_run, tmp_path, arguments):
    unread, end = os.pipe()
    os.close(unread)
    command = [sys.executable, "-m", "vae_lightning.report", *(word.format(digits_run.path) for word in arguments)]
    with os.fdopen(end) as stdout:
        buffered = os.environ | {"PYTHONUNBUFFERED": ""}  # so that it is the end that fails
        pipes = {"stdout": stdout, "stderr": subprocess.PIPE}
        done = subprocess.run(command, **pipes, env=buffered, cwd=tmp_path, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_training_whose_lines_are_read_no_further_goes_on_to_its_end(train, monkeypatch, capsys):
    unread, end = os.pipe()
    os.close(unread)
    with os.fdopen(end, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        run = train()
    assert run.status()["status"] == "finished"
    assert "epoch 2/2" in (run.path / "train.log").read_text()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("end", "code", "told"), [(UserError("x"), "error: x", ""), (KeyboardInterrupt("x"), 130, "x")]
)
def test_what_nobody_has_read_is_not_told_of_behind_an_error(monkeypatch, capfd, end, code, told):
    unread, pipe = os.pipe()
    os.close(unread)
    stdout = os.fdopen(pipe, "w")
    monkeypatch.setattr(sys, "stdout", stdout)

    @reporting_errors()
    def command():
        print("a table")
        raise end

    with pytest.raises(SystemExit) as leaving:
        command()
    stdout.close()  # as Python does at its end, and tells of what it can't write
    assert leaving.value.code == code
    assert capfd.readouterr().err == (f"interrupted: {told}\n" if told else "")


def test_another_pipe_is_an_error_as_any():
    with pytest.raises(BrokenPipeError), reporting_errors():
        raise BrokenPipeError


@pytest.fixture
def terminal(monkeypatch):
    """`terminal(columns)` makes stdout and stderr a terminal of that width."""

    def of(columns):
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(type(stream), "isatty", lambda self: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")

    return of


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("place", ["outputs/2026-11-27/10-51-55_mnist_mlp", "/data/" + 60 * "p" + "/run", "my runs/a"])
def test_a_summary_breaks_no_word(terminal, tmp_path, monkeypatch, capsys, place, columns):
    terminal(columns)
    monkeypatch.chdir(tmp_path)
    kinds = ["aggregated_posterior", "latent_units", "neighbours", "reconstruction_history", "tsne", "transition"]
    path = Path(place) if place[0] != "/" else tmp_path / place[1:]
    for kind in kinds:
        (path / "images" / kind).mkdir(parents=True)
    figures = {f"test/{name}{end}": -1.0 for name in ("elbo", "rate", "distortion") for end in ("", "_stderr")}
    (path / "metrics.json").write_text(json.dumps(figures | {"test/kind": "cross-entropy of grey levels"}))
    print_run(RunDir(path), f"{path.parent}")
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert all(len(line) <= columns or len(shlex.split(line.rstrip(" \\"))) == 1 for line in lines), out
    for word in (*kinds[:-1], f"{path}"):
        assert word in out.replace(",", "")
    command = out[out.index("more pictures") :].removeprefix("more pictures").partition("more figures")[0]
    assert shlex.split(command.replace("\\\n", ""))[-2:] == [shlex.split(typed("run", path))[0], "mode=samples"]


def test_what_ctrl_c_ended_is_told_on_a_row_of_its_own(terminal, capsys):
    terminal(30)
    with pytest.raises(SystemExit), reporting_errors():
        raise Interrupted(signal.SIGINT, "go on with resume=outputs/a/place-that-is-long")
    told = "interrupted: Ctrl-C; go on\nwith\nresume=outputs/a/place-that-is-long\n"
    assert capsys.readouterr().err == f"\r\x1b[K{told}"


@pytest.mark.parametrize(
    ("validated", "best"), [({"val/loss": 2.0}, "; best.ckpt has the lowest validation loss"), ({"val/loss": None}, "")]
)
def test_of_a_run_without_an_elbo_no_more_is_said_of_its_best_checkpoint_than_there_is(
    tmp_path, capsys, validated, best
):
    RunDir(tmp_path).write_metrics({"test/distortion": 3.0, "test/kind": DENSITY} | validated)
    print_run(RunDir(tmp_path), str(tmp_path))
    assert f"(no rate and no ELBO: the code has no noise{best})\n" in capsys.readouterr().out
