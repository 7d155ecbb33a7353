import csv
import io

from tests.reports.runs_on_disk import DENSITY, figures, write_run, write_seeds, write_sweep
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.csv_files import summary_csv
from vae_lightning.reports.learning_curves import learning_curves
from vae_lightning.reports.page import page_html
from vae_lightning.reports.plots import rate_distortion, setting_charts
from vae_lightning.reports.runs import find_runs, read_runs
from vae_lightning.reports.summary import terminal_table

SCORES = [
    *("beta_vae_score", "factor_vae_score", "mig", "dci_disentanglement", "dci_completeness", "dci_informativeness"),
    *("sap", "modularity", "explicitness"),
]


def test_summary_has_a_line_a_run_with_unrounded_figures(tmp_path):
    sweep = write_sweep(tmp_path / "sweep", [2, 8], [1.0])
    write_run(sweep / "2", {"model__latent_dim": 0}, ["model.latent_dim=0"], status="failed", reason='no, "never"\nso')
    text = summary_csv(Comparison(read_runs(find_runs(sweep))), sweep)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["rank"], row["run"], row["status"], row["path"]) for row in rows] == [
        ("1", "1", "finished", "1"),
        ("2", "0", "finished", "0"),
        ("", "2", "failed", "2"),
    ]
    assert [row["model.latent_dim"] for row in rows] == ["8", "2", "0"]
    assert float(rows[0]["test/elbo"]) == -160.51
    assert (rows[0]["epochs"], rows[0]["seconds"], rows[2]["test/elbo"]) == ("4", "439.2", "")
    assert rows[2]["reason"] == 'no, "never" so'


def test_figures_of_codes_are_there_where_a_run_has_any(tmp_path):
    codes = {"test/codebook_use": 0.25, "test/perplexity": 31.5}
    write_run(tmp_path / "0", {"model__latent_dim": 3}, ["model.latent_dim=3"], figures(-100, **codes))
    write_run(tmp_path / "1", {"model__latent_dim": 4}, ["model.latent_dim=4"], figures(-90))
    comparison = Comparison(read_runs(find_runs(tmp_path)))
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(summary_csv(comparison, tmp_path)))}
    assert {name: float(rows["0"][name]) for name in codes} == codes
    assert rows["1"]["test/perplexity"] == ""
    page = page_html(comparison, "Codes", tmp_path)
    assert page.count(">perplexity</th>") == 1
    assert page.count('data-filter="31.50"') == 1
    (alone,) = csv.DictReader(io.StringIO(summary_csv(Comparison(read_runs([tmp_path / "1"])), tmp_path)))
    assert "test/perplexity" not in alone


def test_figures_of_disentanglement_are_there_where_a_run_has_any(tmp_path):
    scores = {f"test/{name}": 0.0816 + number / 10 for number, name in enumerate(SCORES)}
    stderrs = {f"{name}_stderr": 0.004 for name in scores}
    write_run(tmp_path / "0", {"model__latent_dim": 3}, ["model.latent_dim=3"], figures(-100, **scores, **stderrs))
    none = {f"test/{name}": None for name in SCORES} | {"test/mig_reason": "these data have no factors"}
    write_run(tmp_path / "1", {"model__latent_dim": 4}, ["model.latent_dim=4"], figures(-90, **none))
    comparison = Comparison(read_runs(find_runs(tmp_path)))
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(summary_csv(comparison, tmp_path)))}
    assert {name: float(rows["0"][name]) for name in scores | stderrs} == scores | stderrs
    assert rows["1"]["test/mig"] == ""
    page = page_html(comparison, "Scores", tmp_path)
    for title in ("MIG", "SAP", "DCI disentanglement", "beta-VAE score", "explicitness"):
        assert page.count(f">{title}</th>") == 1
    assert page.count('data-filter="0.282"') == 1
    (alone,) = csv.DictReader(io.StringIO(summary_csv(Comparison(read_runs([tmp_path / "1"])), tmp_path)))
    assert "test/mig" not in alone


def test_paths_hold_from_where_the_summary_lies(tmp_path):
    run = write_run(tmp_path / "a/run", {})
    (row,) = csv.DictReader(io.StringIO(summary_csv(Comparison(read_runs([run])), tmp_path / "b")))
    assert row["path"] == "../a/run"


def test_the_printed_table_is_narrow_and_best_first(tmp_path):
    sweep = write_sweep(tmp_path, [2, 8, 32], [0.5, 1, 4])
    write_run(
        sweep / "9", {"model__latent_dim": 0}, ["model.latent_dim=0"], status="failed", reason="\x1b[2J" + "why " * 99
    )
    table = terminal_table(read_runs(find_runs(sweep)))
    header, _, *lines = table.splitlines()
    assert header.split() == [
        *("#", "run", "latent_dim", "beta", "val", "ELBO", "test", "ELBO", "rate"),
        *("distortion", "images/s", "time", "status"),
    ]
    assert lines[0].split() == [
        *("1", "6", "32", "0.5", "-155.69", "-154.69", "+-", "0.25", "45.94", "108.74", "2,059"),
        *("7", "min", "19", "s", "finished"),
    ]
    assert max(map(len, table.splitlines())) <= 120
    assert lines[9].split()[:3] == ["9", "0", "1"]
    assert lines[9].endswith("  failed")
    assert lines[11].startswith("9: failed: [2Jwhy why why")
    assert lines[11].endswith(" why...")
    assert len(lines[11]) > 110
    assert "\x1b" not in table
    assert "nats per image; cross-entropy of grey levels, no likelihood" in table


def test_a_narrow_terminal_gets_the_columns_that_fit_and_the_names_of_the_others(tmp_path):
    runs = read_runs(find_runs(write_sweep(tmp_path, [2, 8, 32], [0.5, 1, 4])))
    for width, room in ((79, False), (80, False), (90, False), (100, False), (119, True)):
        lines = terminal_table(runs, width).splitlines()
        assert max(map(len, lines)) <= width
        header, told = lines[0], [line for line in lines if line.startswith("no room for: ")]
        missing = [name for name in ("images/s", "time", "distortion", "rate") if name not in header]
        assert (missing == []) is room
        names = ", ".join(sorted(missing, key=terminal_table(runs).index))
        assert told == ([f"no room for: {names}; see summary.csv"] if missing else [])
        assert "beta    val ELBO        test ELBO" in header
    assert max(map(len, terminal_table(runs, 60).splitlines())) <= 60
    assert terminal_table(runs, 200) == terminal_table(runs, 120) == terminal_table(runs)


def test_many_settings_do_not_make_it_wider(tmp_path):
    runs = [
        write_run(
            tmp_path / f"{n}_with_a_long_name_that_somebody_chose",
            {f"model__setting_{letter}": f"{letter}{n}" * 20 for letter in "abcdefgh"},
            [],
            figures(-100 - n),
        )
        for n in range(2)
    ]
    table = terminal_table(read_runs(runs))
    assert max(map(len, table.splitlines())) <= 120
    assert "setting_a" in table.splitlines()[0]
    assert "also varied: " in table
    assert "model.setting_h" in table


def test_kinds_that_do_not_compare_have_tables_of_their_own(tmp_path):
    write_run(tmp_path / "0", {"model__latent_dim": 3}, ["model.latent_dim=3"], figures(-100))
    write_run(
        tmp_path / "1", {"seed": 1}, ["seed=1"], figures(40775, **{"test/kind": DENSITY, "test/elbo_stderr": 414.0})
    )
    table = terminal_table(read_runs(find_runs(tmp_path)))
    assert table.count("images/s") == 2
    assert "nats per image; log-density of pixels in [0, 1]" in table
    assert "40,775 +- 414" in table
    assert "can't be compared" in table


def test_what_is_no_likelihood_is_nowhere_told_in_nats(tmp_path):
    kind = "MS-SSIM over 2 scales, no likelihood and no nats"
    for n, scale in enumerate((1, 2)):
        write_run(
            tmp_path / f"{n}",
            {"model__latent_dim": n},
            [f"model.latent_dim={n}"],
            figures(-9 * scale, **{"test/kind": kind}),
            curve=[-9],
        )
    comparison = Comparison(read_runs(find_runs(tmp_path)))
    assert f"per image, no nats; {kind}; best validation ELBO first" in terminal_table(comparison.runs)
    (ranking,) = comparison.rankings
    plane, (settings,) = rate_distortion(comparison, ranking), setting_charts(comparison, ranking)
    charts = [*learning_curves(comparison, ranking), plane, *settings.charts]
    told = [chart.figure.layout.yaxis.title.text for chart in charts if chart is not None]
    assert [text for text in told if "no nats" not in text] == ["nats per image"]  # the rate against the seed
    page = page_html(comparison, "title", tmp_path)
    assert "ELBO, rate and distortion in nats" not in page
    assert "per image, no nats; MS-SSIM" in page


def test_tags_have_a_column_where_a_run_has_any(tmp_path):
    changes = [{"tags": ["paper", "a\x1b[2Jb", 3]}, {"tags": "none"}, {}]
    paths = [write_run(tmp_path / str(number), one, [], figures(-90.0)) for number, one in enumerate(changes)]
    records = read_runs(paths)
    assert [record.tags for record in records] == [("paper", "a [2Jb"), (), ()]
    lines = terminal_table(records).splitlines()
    assert lines[0].split()[:3] == ["#", "run", "tags"]
    assert "paper, a [2Jb" in lines[2]
    rows = list(csv.DictReader(io.StringIO(summary_csv(Comparison(records), tmp_path))))
    assert [row["tags"] for row in rows] == ["paper, a [2Jb", "", ""]
    assert ">tags</th>" in page_html(Comparison(records), "title", tmp_path)
    assert 'title="paper, a [2Jb"' in page_html(Comparison(records), "title", tmp_path)
    assert "tags" not in terminal_table(records[1:]) + summary_csv(Comparison(records[1:]), tmp_path)
    assert ">tags</th>" not in page_html(Comparison(records[1:]), "title", tmp_path)


def test_tags_long_names_and_a_failure_make_it_no_wider(tmp_path):
    sweep = write_sweep(tmp_path, [2, 8], [0.5, 1])
    more = {"tags": ["paper", "first", "a second try"]}
    write_run(sweep / "10_with_a_long_name_that_somebody_chose", more, [], figures(-12345.0))
    write_run(
        sweep / "11", {"model__latent_dim": 0} | more, ["model.latent_dim=0"], status="failed", reason="why " * 99
    )
    lines = terminal_table(read_runs(find_runs(sweep))).splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[0].split()[:4] == ["#", "run", "tags", "val"]
    assert any(line.startswith("11: failed: why why") for line in lines)
    assert any("  10_with_a_lon...  paper,...  " in line for line in lines)
    assert lines[-1].startswith("also varied: ")


def test_a_short_reason_stands_beside_the_failure(tmp_path):
    write_run(tmp_path / "0", {"model__latent_dim": 3}, ["model.latent_dim=3"], figures(-100))
    write_run(tmp_path / "1", {"model__latent_dim": 4}, ["model.latent_dim=4"], status="failed", reason="why")
    lines = terminal_table(read_runs(find_runs(tmp_path))).splitlines()
    assert lines[3].endswith("  failed: why")
    assert len(lines) == 5


def test_seeds_are_one_line_of_means_with_their_spread(tmp_path):
    sweep = write_seeds(tmp_path, {2: [-150, -151, -152], 8: [-140.0, -141, -142]})
    write_run(
        sweep / "9",
        {"model__latent_dim": 8, "seed": 9},
        ["model.latent_dim=8", "seed=9"],
        status="failed",
        reason="why",
    )
    header, _, first, second, *notes = terminal_table(read_runs(find_runs(sweep))).splitlines()
    assert header.split()[:3] == ["#", "latent_dim", "val"]
    assert header.split()[-1] == "seeds"
    assert first.split()[:8] == ["1", "8", "-142.00", "+-", "1.00", "-141.00", "+-", "1.00"]
    assert first.endswith("  3 of 4")
    assert second.split()[-1] == "3"
    text = " ".join(notes)
    assert "means +- standard deviations over seeds, best mean validation ELBO first" in text
    assert "#2 from #1: test ELBO -10.00, 95%: -12.27 to -7.73 over seeds" in text
    assert "9: failed: why" in text


def test_of_means_no_setting_is_left_out_before_the_times(tmp_path):
    for number, (a, seed) in enumerate([(a, seed) for a in (1, 2) for seed in (0, 1)]):
        names = {f"model__a_long_name_{letter}": a for letter in "xy"}
        typed = [*(f"{name.replace('__', '.')}={a}" for name in names), f"seed={seed}"]
        write_run(tmp_path / str(number), names | {"seed": seed}, typed, figures(-100.0 - a - seed, seconds=4000.0))
    table = terminal_table(read_runs(find_runs(tmp_path)))
    assert "also varied" not in table
    assert "no room for: images/s; see summary_seeds.csv" in table
