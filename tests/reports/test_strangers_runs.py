"""Reports on runs from elsewhere: whatever lies there, the others are shown, in time, and nothing foreign is."""

import csv
import io
import json
import os
import re
import struct
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.reports.runs_on_disk import figures, write_picture, write_run, write_sweep
from vae_lightning.reports import curves, pictures
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.csv_files import summary_csv
from vae_lightning.reports.pictures import embed
from vae_lightning.reports.report import Report, write_report
from vae_lightning.reports.runs import find_runs, read_runs
from vae_lightning.reports.summary import terminal_table

pytestmark = pytest.mark.usefixtures("in_time")

FILES = ("config.yaml", "overrides.yaml", "metrics.json", "metrics.csv", "status.json")
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def sweep(tmp_path) -> Path:
    """A sweep of two runs, of which the tests damage the first."""
    return write_sweep(tmp_path / "sweep", [2], [1.0, 2.0])


def reported(sweep: Path) -> Report:
    report = write_report(find_runs(sweep), sweep, "Sweep")
    assert terminal_table(report.records)
    return report


def reason(report: Report) -> str:
    (record,) = [record for record in report.records if record.name == "0"]
    assert next(record for record in report.records if record.name == "1").status == "finished"
    return record.reason


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_is_not_waited_for(sweep, name):
    (sweep / "0" / name).unlink()
    os.mkfifo(sweep / "0" / name)
    assert f"{name} can't be read (no regular file but a named pipe)" in reason(reported(sweep))


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_end_is_not_read(sweep, name):
    with (sweep / "0" / name).open("r+b") as file:
        file.truncate(10**12)
    assert re.search(rf"{re.escape(name)} can't be read \(larger than \d+ MB\)", reason(reported(sweep)))


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_folder_is_not_shown(sweep, name, tmp_path):
    secret = tmp_path / name
    (sweep / "0" / name).rename(secret)
    (sweep / "0" / name).symlink_to(secret)
    assert f"{name} can't be read (a link leads out of " in reason(reported(sweep))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("config.yaml", BOMB, "has an alias"),
        ("overrides.yaml", BOMB, "has an alias"),
        ("config.yaml", "!!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("config.yaml", "a: " + "[" * 50_000, "nested too deep"),
        ("metrics.json", '{"a": ' + "[" * 500_000, "nested too deep"),
        ("status.json", "[" * 500_000, "nested too deep"),
        ("metrics.json", '{"test/elbo": ' + "9" * 10_000 + "}", "Exceeds the limit"),
        ("metrics.csv", "epoch,val/elbo\n" + "9" * 1_000_000, "field larger than field limit"),
    ],
)
def test_a_bomb_is_told_in_a_line(sweep, name, content, told):
    (sweep / "0" / name).write_text(content)
    message = reason(reported(sweep))
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "9" * 400, "1e308", '"text"', "null", "[1]", "true"])
def test_figures_out_of_range_are_none(sweep, number):
    names = ("test/elbo", "test/elbo_stderr", "test/rate", "val/elbo", "seconds", "epochs")
    (sweep / "0/metrics.json").write_text("{" + ", ".join(f'"{name}": {number}' for name in names) + "}")
    text = number.strip('"[]')
    (sweep / "0/metrics.csv").write_text(f"epoch,val/elbo,train/loss\n{text},1,1\n0,{text},{text}\n1,-5,5\n")
    record = next(record for record in reported(sweep).records if record.name == "0")
    assert not record.metrics.keys() & set(names)
    if number not in ("[1]",):
        assert record.curves == {"val/elbo": [(2, -5.0)], "train/loss": [(2, 5.0)]}


@pytest.mark.parametrize("value", [".inf", ".nan", "-.inf", "9" * 19, "2026-01-01", "!!binary aGk=", "{}", "1e999"])
def test_settings_of_any_kind_are_shown(sweep, value):
    for number in ("0", "1"):
        config = sweep / number / "config.yaml"
        config.write_text(config.read_text().replace("beta: ", f"other: {value}\n  beta: "))
        (sweep / number / "overrides.yaml").write_text(f"['objective.other={number}{value}', 'seed={value}']")
    report = reported(sweep)
    assert {record.status for record in report.records} == {"finished"}


NAME = "<img src=x onerror=alert(1)>\"'&{{77*77}}"


def test_no_text_of_a_run_becomes_markup(tmp_path):
    for number, beta in enumerate((1.0, NAME)):
        write_run(
            tmp_path / "sweep" / f"{NAME.replace('/', '')}{number}",
            {"name": NAME, "objective__beta": beta, f"objective__{NAME}": beta, "model__latent_dim": number},
            [f"objective.beta={beta}", f"model={NAME}{number}"],
            figures(-100.0 - number) | {"test/kind": NAME},
            status=NAME if number else "failed",
            reason=f"</script><script>alert(1)</script>{NAME}",
            curve=[-200.0, -150.0],
        )
    page = write_report(find_runs(tmp_path / "sweep"), tmp_path, NAME).page.read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "&lt;img src=x" in page
    assert "5929" not in re.findall(r"<title>(.*?)</title>", page)[0]


DRIVING = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202e"


def test_no_text_of_a_run_drives_a_terminal_or_a_spreadsheet(tmp_path):
    formula = f"{DRIVING}=cmd|'/C calc'!A0"
    for number in range(2):
        write_run(
            tmp_path / f"sweep/{DRIVING.replace('/', '')}={number}{chr(27) * number}",
            {f"objective__{DRIVING}": f"{DRIVING}@x{number}", "model__latent_dim": -number, "name": DRIVING},
            [f"objective.beta=={DRIVING}HYPERLINK({number})", f"{DRIVING}=+{number}x", f"model.latent_dim={-number}"],
            figures(-100.0) | {"test/kind": f"{formula} kind"},
            status=f"failed{DRIVING}",
            reason=formula,
        )
    report = write_report(find_runs(tmp_path / "sweep"), tmp_path, f"Sweep {DRIVING}")
    csv_text, page = (file.read_text(encoding="utf-8") for file in (report.summary, report.page))
    for text in (terminal_table(report.records), csv_text, page):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text.partition("<script nonce")[0])
    rows = list(csv.reader(io.StringIO(csv_text)))
    assert len(rows) == len(csv_text.splitlines()) == 3
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(("=", "+", "-", "@")) or re.fullmatch(r"-\d+(\.\d+)?", cell)
    reasons = {row[rows[0].index("reason")] for row in rows[1:]}
    assert reasons == {"]0;owned [2J 31m =cmd|'/C calc'!A0"}


@pytest.mark.parametrize("text", ["=1+1", "+1x", "-x", "@x", "\t=1", "\uff1d1", "\x1b=1"])
def test_a_text_is_no_formula_and_a_number_stays_one(tmp_path, text):
    run = write_run(tmp_path / "0", {}, ["seed=0"], figures(-100.0), status="failed", reason=text)
    (row,) = csv.DictReader(io.StringIO(summary_csv(Comparison(read_runs([run])), tmp_path)))
    assert row["reason"] == f"'{text.lstrip(chr(9) + chr(27))}"
    assert row["test/elbo"] == "-100"


def test_runs_whose_names_look_the_same_are_told_apart(tmp_path):
    for name in ("a", "a\x1b"):
        write_run(tmp_path / name, {}, ["seed=0"], figures(-100.0))
    assert [record.name for record in read_runs(find_runs(tmp_path))] == ["0: a", "1: a"]


def test_a_picture_that_a_link_leads_to_is_not_shown(sweep, tmp_path):
    foreign = write_picture(tmp_path / "foreign", "samples", "red")
    gif = write_picture(tmp_path / "foreign", "training", "red")
    for name in ("images/samples", "images/reconstructions"):
        for file in (sweep / "0" / name).iterdir():
            file.unlink()
    (sweep / "0/images/samples/epoch_0001.png").symlink_to(foreign)
    (sweep / "0/images/reconstructions").rmdir()
    (sweep / "0/images/reconstructions").symlink_to(foreign.parent)
    (sweep / "0/training.gif").unlink()
    (sweep / "0/training.gif").symlink_to(gif)
    assert next(record for record in read_runs(find_runs(sweep)) if record.name == "0").pictures == {}


def png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_what_is_no_picture_of_its_kind_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_MOST_WORK", 100_000)
    good = write_picture(tmp_path, "samples", "red")
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    others = {"eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "svg.gif": b"<svg onload='alert(1)'/>"}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    Image.new("RGB", (99, 99)).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "jpeg.png")
    (tmp_path / "large.png").write_bytes(png(60_000, 60_000, b"\0" * 1000))
    frames = [Image.new("L", (100, 100), shade) for shade in range(99)]
    frames[0].save(tmp_path / "long.gif", save_all=True, append_images=frames[1:])
    huge = tmp_path / "sparse.png"
    with huge.open("wb") as file:
        file.truncate(10**12)
    gone = tmp_path / "gone.png"
    bad = [pipe, *(tmp_path / name for name in (*others, "jpeg.png", "large.png")), huge, gone]
    assert set(embed([good, *bad])) == {good}
    assert set(embed([tmp_path / "long.gif"], budget=3000)) == set()


def gif(*pieces: bytes) -> bytes:
    """A GIF of one pixel and two colours, of these pieces."""
    head = struct.pack("<6sHHBBB", b"GIF89a", 1, 1, 0x80, 0, 0)
    return head + bytes(3) + b"\xff" * 3 + b"".join(pieces) + b"\x3b"


def frame(width: int = 1, height: int = 1, data: bytes = b"\x02\x44\x01\x00") -> bytes:
    return b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02" + data


def comment(*blocks: bytes) -> bytes:
    return b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\x00"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (gif(*[frame()] * 600_000), "more than 20,000 frames"),
        (gif(frame(), *[comment()] * 600_000), "more than 20,000 frames"),
        (gif(frame(data=b"\x01\x44" * 2_000_000 + b"\0")), "blocks of a few bytes"),
        (gif(*[frame(65_000, 65_000)] * 9), "9 frames of 65000 x 65000 pixels"),
        (gif(b"\x07" * 9_000_000), "no known kind"),
    ],
)
def test_an_animation_that_would_take_minutes_is_left_out_at_once(tmp_path, content, told):
    (tmp_path / "training.gif").write_bytes(content)
    started = time.monotonic()
    with pytest.raises(ValueError, match=told):
        pictures._check_animation(content)
    assert embed([tmp_path / "training.gif"]) == {}
    assert time.monotonic() - started < 10


def test_an_animation_of_many_frames_is_shown(tmp_path):
    (tmp_path / "training.gif").write_bytes(gif(comment(b"made by hand"), *[frame()] * 9000))
    assert len(embed([tmp_path / "training.gif"])) == 1


def test_a_picture_of_countless_chunks_is_left_out_at_once(tmp_path):
    content = png(64, 64, bytes(65 * 64))
    many = struct.pack(">I4sI", 0, b"vpAg", zlib.crc32(b"vpAg"))
    (tmp_path / "many.png").write_bytes(content[:33] + many * 2_000_000 + content[33:])
    (tmp_path / "few.png").write_bytes(content[:33] + many * 19_000 + content[33:])
    started = time.monotonic()
    assert list(embed([tmp_path / "many.png", tmp_path / "few.png"])) == [tmp_path / "few.png"]
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\n".join(f"{epoch},1,2" for epoch in range(1001)), "more than 1,000 epochs"),
        ("0,1,2\n" * 3001, "more than 3,000 rows"),
        ("\n" * 3001, "more than 3,000 rows"),
        ("," * 2_000_000, "a line of more than 1,000,000 characters"),
    ],
)
def test_curves_without_end_are_told(sweep, monkeypatch, text, told):
    assert (curves._MOST_ROWS, curves._MOST_EPOCHS) == (1_000_000, 100_000)
    monkeypatch.setattr(curves, "_MOST_ROWS", 3000)
    monkeypatch.setattr(curves, "_MOST_EPOCHS", 1000)
    (sweep / "0/metrics.csv").write_text(f"epoch,val/elbo,train/loss\n{text}")
    (record,) = read_runs([sweep / "0"])
    assert (record.status, record.curves) == ("finished", {})
    assert record.reason == f"metrics.csv can't be read ({told})"


def test_a_quote_that_is_never_closed_ends_with_its_line(sweep):
    (sweep / "0/metrics.csv").write_text('epoch,val/elbo\n0,-5\n1,"\n2,-4\n')
    (record,) = read_runs([sweep / "0"])
    assert record.curves == {"val/elbo": [(1, -5.0), (3, -4.0)]}


def test_a_report_that_is_a_link_is_replaced(sweep, tmp_path):
    (tmp_path / "foreign").write_text("kept")
    for name in ("index.html", "summary.csv"):
        (sweep / name).symlink_to(tmp_path / "foreign")
    reported(sweep)
    assert (tmp_path / "foreign").read_text() == "kept"
    assert not (sweep / "index.html").is_symlink()


def test_a_status_of_odd_content_is_shown(sweep):
    (sweep / "0/status.json").write_text(json.dumps({"status": {"a": 1}, "reason": ["x"], "host": [], "pid": {}}))
    assert "['x']" in reason(reported(sweep))
