"""A path that Hydra would read as something else is told in one line, and the way to type it that is shown works."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from PIL import Image

from tests.conftest import TINY, refusal
from vae_lightning.command_line.quoting import check_words, or_with_spaces
from vae_lightning.errors import UserError
from vae_lightning.runs.records import RunDir, as_word, typed

REFUSED = ["a=b", "x[1]", "it's", "a,b", "(copy)", "{x}", "Bilder äöü 顔", "日本", "100", "1_000", "1e3", "true"]
REFUSED += ['say "hi"', "a#b;c&d|e<f>g^j", "`tick`", 'it\'s a "(copy)" = [ü], {no!}']
READ = ["my photos", "cost$5", "50%", "-dash", "a:b", "a.b", "back\\slash"]
HARD = ["end\\", "\\'both", "a\\\\'b", "null", " lead ", "'", "''", "~x", "$HOME", "!bang"]


def read(word: str) -> str:
    """What Hydra makes of the value of an override."""
    value = OverridesParser.create().parse_override(word).value()
    return value.text if isinstance(value, QuotedString) else value


@pytest.mark.parametrize("name", [*REFUSED, *READ, *HARD])
def test_what_is_shown_is_the_same_text_for_hydra(name):
    assert [read(word) for word in shlex.split(typed("data.root", name))] == [name]
    assert read(f"data.root={as_word(name)}") == name


def test_what_is_shown_is_one_word_for_the_shell():
    names = [*REFUSED, *READ, *HARD]
    line = " ".join(typed("data.root", name) for name in names)
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True)
    assert done.stdout.split("\0")[:-1] == shlex.split(line)
    assert len(shlex.split(line)) == len(names)


def test_double_quotes_are_for_the_shell_where_they_do():
    assert typed("data.root", "/data/a (1)/x=y") == "data.root=\"'/data/a (1)/x=y'\""
    assert typed("data.root", "it's") == "data.root=\"'it\\'s'\""
    assert typed("data.root", "cost$5") == "data.root='\"cost$5\"'"
    assert typed("run", "outputs/2026-11-20/14-03-27_x") == "run=outputs/2026-11-20/14-03-27_x"


@pytest.mark.parametrize(
    "key", ["data.root", "run", "resume", "init_from", "output_dir", "images", "+data.archive", "data.group_by"]
)
@pytest.mark.parametrize("name", REFUSED)
def test_a_place_that_hydra_reads_otherwise_is_told_with_the_quotes(key, name):
    if (key, name) in {("output_dir", "100"), ("resume", "100"), ("init_from", "100")}:
        check_words([f"{key}={name}"], is_sweep=False)  # as it always was
        return
    with pytest.raises(UserError) as error:
        check_words([f"{key}={name}"], is_sweep=False)
    message = str(error.value)
    assert message.startswith(f"{key}={name}: ")
    assert message.endswith(f"quoted, for Hydra and for the shell: {typed(key, name)}")


@pytest.mark.parametrize("name", [*READ, "null", "'(it is) quoted'", '"äöü"', "[a,b]", "{a:b}"])
def test_what_hydra_reads_is_left_to_it(name):
    check_words(["data=folder", f"data.root={name}", "-m"], is_sweep=False)


def test_what_is_no_path_is_told_as_it_is():
    with pytest.raises(UserError, match=r"^model.latent_dim=\[1: Hydra can't read this \(no viable alternative"):
        check_words(["model.latent_dim=[1"], is_sweep=False)
    with pytest.raises(UserError, match=r"^callbacks.x.file=/a\(: .*: callbacks.x.file=\"'/a\('\"$"):
        check_words(["callbacks.x.file=/a("], is_sweep=False)
    check_words(["data.root=a,b", "optimizer.lr=choice(1,2)"], is_sweep=True)
    check_words(["--config-dir", "a=b(", "name=100"], is_sweep=False)


def test_a_comma_in_the_name_of_a_file_of_a_list_parts_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b, c (1).png", "e,f,g.png"):
        (tmp_path / name).touch()
    with pytest.raises(UserError) as error:
        check_words(["images=[a (2),b, c (1).png, 'd.png',e,f,g.png]"], is_sweep=False)
    assert str(error.value).endswith("images=\"['a (2)','b, c (1).png',d.png,'e,f,g.png']\"")


def test_what_was_quoted_wrongly_is_quoted_rightly():
    with pytest.raises(UserError) as error:
        check_words(["data.root='it's'"], is_sweep=False)
    assert str(error.value).endswith(f": {typed('data.root', chr(39).join(['it', 's']))}")


def test_of_a_list_each_item_is_quoted():
    with pytest.raises(UserError) as error:
        check_words(["images=[a (1).png, b.png,'ü.png']"], is_sweep=False)
    assert str(error.value).endswith("images=\"['a (1).png',b.png,'ü.png']\"")


def test_words_behind_a_space_are_told_with_the_path_that_they_may_be_of(error_of):
    words = ["data=digits", "data.root=/my", "photos", "(2)"]
    told = "photos: expected key=value; a path with spaces is quoted: data.root=\"'/my photos'\""
    assert or_with_spaces("photos", words) == told
    assert or_with_spaces("photos", ["photos"]) == or_with_spaces("photos", ["seed=1", "photos"]) == told.split(";")[0]
    assert error_of("data=folder", "data.root=/my", "photos") == told


NASTY = "it's a (copy) = [ü], {日本} & $5"


def test_every_command_takes_a_place_as_it_is_shown(command, monkeypatch, tmp_path, capsys):
    from vae_lightning.evaluate import main as evaluate
    from vae_lightning.generate import main as generate

    def call(main, *words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["vae", *words])
        main()

    def shown(*words: str) -> list[str]:
        return shlex.split(refusal(command, *words).rpartition(" for the shell: ")[2])

    place = Path(NASTY)
    place.mkdir()
    Image.new("L", (28, 28), 90).save(place / f"{NASTY}.png")
    small = [*TINY, "callbacks=none", "logger=none", "trainer.max_epochs=1"]
    command(*small, *shown(f"run_dir={place / 'run'}"))
    (again,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("more figures")]
    run = shlex.split(again)[-1]  # as the end of the run shows it
    command(*shown(f"resume={place / 'run'}"), "trainer.max_epochs=2")
    command(*small, *shown(f"init_from={place / 'run'}"), "run_dir=new")
    picture = place / f"{NASTY}.png"
    images = shown(f"images={picture}")
    call(generate, run, "mode=reconstructions", "device=cpu", *images, *shown(f"out={place / 'out'}"))
    call(evaluate, run, "metrics=elbo", "device=cpu")
    assert RunDir(place / "run").metrics()["epochs"] == 2
    assert RunDir(Path("new")).config()["init_from"] == str(place / "run")
    assert len(list((place / "out").iterdir())) > 0
    shutil.rmtree(place)


def test_a_folder_of_pictures_may_have_any_name(command, tmp_path):
    from tests.trained import FOLDER, write_pictures

    write_pictures(tmp_path / NASTY)
    root = shlex.split(refusal(command, f"data.root={tmp_path / NASTY}").rpartition(" for the shell: ")[2])
    command(*FOLDER, *root, "callbacks=none", "logger=none", "trainer.max_epochs=1", "run_dir=run")
    assert RunDir(tmp_path / "run").config()["data"]["root"] == str(tmp_path / NASTY)
    assert RunDir(tmp_path / "run").metrics()["epochs"] == 1


def test_hydras_own_place_of_a_run_is_refused_for_it_would_count_for_nothing():
    for word in ("hydra.run.dir=x", "++hydra.run.dir=x"):
        with pytest.raises(UserError, match=r"hydra\.run\.dir=x: has no effect here; run_dir= says where"):
            check_words(["data=digits", word], is_sweep=False)
