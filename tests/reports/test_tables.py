import shutil
import subprocess

import pytest

from tests.reports.runs_on_disk import DENSITY, figures, write_run, write_seeds, write_sweep
from vae_lightning.errors import UserError
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.runs import find_runs, read_runs
from vae_lightning.reports.tables import paper_table

SEEDS = {8: [-140.0, -141, -142], 2: [-150.0, -151, -155]}


def compare(path) -> Comparison:
    return Comparison(read_runs(find_runs(path)))


def test_settings_come_first_and_in_their_order_and_the_best_is_bold(tmp_path):
    table = paper_table(compare(write_seeds(tmp_path, SEEDS)), "latex")
    assert table.splitlines()[1:] == [
        r"\begin{tabular}{rrrrr}",
        r"\toprule",
        r"latent\_dim & seeds & test ELBO & rate & distortion \\",
        r"\midrule",
        r"2 & 3 & $-$152.00 $\pm$ 2.65 & 20.00 $\pm$ 0.00 & 132.00 $\pm$ 2.65 \\",
        r"8 & 3 & \textbf{$-$141.00 $\pm$ 1.00} & 20.00 $\pm$ 0.00 & 121.00 $\pm$ 1.00 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert table.startswith("% ELBO, rate and distortion: nats per image; cross-entropy of grey levels, no likelihood")


def test_any_field_is_a_column_by_its_short_or_its_whole_name(tmp_path):
    more = {"test/nll": 99.5, "test/nll_stderr": 0.5, "test/nll_seconds": 3.0}
    comparison = compare(write_seeds(tmp_path, SEEDS, **more))
    table = paper_table(comparison, "markdown", ["model.latent_dim", "run", "nll", "val/elbo", "epochs"])
    header, marks, first, *_ = table.splitlines()
    assert header == r"| latent\_dim | run | NLL | val ELBO | epochs |"
    assert marks == "| --: | :-- | --: | --: | --: |"
    assert first == "| 2 | 3, 4, 5 | **99.50 ± 0.00** | -153.00 ± 2.65 | 4 ± 0 |"


def test_a_field_that_no_run_has_is_refused_with_those_that_there_are(tmp_path):
    comparison = compare(write_sweep(tmp_path, [2, 8], [1]))
    with pytest.raises(UserError, match=r"^fields: no fid in these runs; choose of run, latent_dim, .*test/elbo"):
        paper_table(comparison, "latex", ["fid"])
    with pytest.raises(UserError, match=r"^fields: no seeds in"):
        paper_table(comparison, "latex", ["seeds"])
    with pytest.raises(UserError, match=r"^table=word: choose latex or markdown$"):
        paper_table(comparison, "word")


def test_single_runs_have_the_standard_error_of_their_images(tmp_path):
    table = paper_table(compare(write_sweep(tmp_path, [2, 8], [1])), "markdown", ["latent_dim", "elbo"])
    assert "| 8 | **-160.51 ± 0.25** |" in table
    assert "360 test images; +- the standard error over images; bold: the best, and what may as well be" in table


def test_what_can_not_be_compared_has_a_table_of_its_own(tmp_path):
    write_run(tmp_path / "0", {"model__latent_dim": 1}, ["model.latent_dim=1"], figures(-100))
    write_run(tmp_path / "1", {"model__latent_dim": 2}, ["model.latent_dim=2"], figures(7e3, **{"test/kind": DENSITY}))
    table = paper_table(compare(tmp_path), "latex")
    assert table.count(r"\toprule") == 2
    assert r"\textbf" not in table  # of one alone nothing is the best


def test_no_text_of_a_run_is_read_as_markup(tmp_path):
    evil = r"\input{/etc/passwd}$x$&%#_^~|*`<b>"
    write_run(tmp_path / "0", {"model__note": evil}, [f"model.note={evil}"], figures(-100))
    write_run(tmp_path / "1", {"model__note": "tame"}, ["model.note=tame"], figures(-90))
    latex = paper_table(compare(tmp_path), "latex", ["note"])
    assert r"\textbackslash{}input\{/etc/passwd\}\$x\$\&\%\#\_\textasciicircum{}\textasciitilde{}" in latex
    assert r"\input{" not in latex
    assert r"\\input{/etc/passwd}$x$\&%#\_^~\|\*\`\<b\>" in paper_table(compare(tmp_path), "markdown", ["note"])


def test_the_seed_is_no_setting_of_a_mean(tmp_path):
    table = paper_table(compare(write_seeds(tmp_path, SEEDS)), "markdown", ["latent_dim", "seed"])
    assert table.splitlines()[2] == "| 2 | 0, 1, 2 |"


def test_what_may_be_noise_is_as_bold_as_the_best(tmp_path):
    near = {2: [-141.5, -140, -143], 8: [-140.0, -141, -142], 32: [-190.0, -191, -192]}
    lines = paper_table(compare(write_seeds(tmp_path, near)), "markdown", ["latent_dim", "elbo"]).splitlines()
    assert [line.count("**") for line in lines[2:5]] == [2, 2, 0]


def test_a_sweep_without_a_finished_run_has_no_table_and_one_with_some_has_all_settings(tmp_path):
    write_run(tmp_path / "0", {"seed": 0, "model__a": 1}, ["model.a=1", "seed=0"], status="interrupted")
    with pytest.raises(UserError, match=r"^table=latex: none of these 1 runs has finished$"):
        paper_table(compare(tmp_path), "latex")
    write_run(tmp_path / "1", {"seed": 0, "model__a": 2}, ["model.a=2", "seed=0"], figures(-100.0))
    write_run(tmp_path / "2", {"seed": 1, "model__a": 2}, ["model.a=2", "seed=1"], figures(-101.0))
    assert "| 1 | - |" in paper_table(compare(tmp_path), "markdown", ["a", "elbo"])


def test_lists_and_letters_of_other_scripts_are_no_hindrance(tmp_path):
    for number, value in enumerate(["[8,4]", "[4,2]"]):
        write_run(
            tmp_path / f"\u65e5{number}", {"model__dims": value}, [f"model.dims={value}"], figures(-100.0 - number)
        )
    table = paper_table(compare(tmp_path), "latex", ["dims", "run", "elbo"])
    assert r"{[}4,2{]} & U+65E51" in table


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_it_compiles(tmp_path):
    evil = r"\input{/etc/passwd}$x$&%#_^~|*`<b>"
    write_run(tmp_path / "runs/0", {"model__note": evil}, [f"model.note={evil}"], figures(-100))
    write_run(tmp_path / "runs/1", {"model__note": "[4, 2]"}, ["model.note=[4, 2]"], figures(-90, **{"test/mig": 0.25}))
    (tmp_path / "table.tex").write_text(paper_table(compare(tmp_path / "runs"), "latex"))
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{table}\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").is_file()
