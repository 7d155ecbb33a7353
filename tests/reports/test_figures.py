from tests.reports.runs_on_disk import figures, write_run
from vae_lightning.reports.figures import error_text, figure_text, further_figures, reading
from vae_lightning.reports.runs import read_runs

EVALUATED = {
    "test/nll": 99.5,
    "test/nll_stderr": 0.5,
    "test/nll_num_samples": 5000,
    "test/nll_seconds": 12.0,
    "test/nll_seed": 0,
    "test/nll_epoch": 4,
    "test/nll_gap": 1.25,
    "test/fid": None,
    "test/fid_reason": "no weights",
    "test/fd_classifier": 6.3,
    "test/samples_num_images": 360,
    "test/samples_feature_accuracy": 0.95,
    "test/samples_seconds": 1.0,
    "test/rate_per_dimension": [1.0, 2.0],
    "test/sharp_edges": 3.0,
    "test/own_seconds": 1.0,
    "test/loss": 120.0,
}


def test_further_figures_are_those_of_metrics_and_not_how_they_were_computed(tmp_path):
    runs = read_runs([write_run(tmp_path / "0", {}, [], figures(-100, **EVALUATED))])
    assert further_figures(runs) == ["test/nll", "test/nll_gap", "test/fd_classifier", "test/sharp_edges"]


def test_a_run_without_an_evaluation_has_none(tmp_path):
    assert further_figures(read_runs([write_run(tmp_path / "0", {}, [], figures(-100))])) == []


def test_a_figure_of_ones_own_is_called_by_its_name():
    assert reading("test/sharp_edges").heading == "sharp edges"


def test_figures_have_the_decimals_that_are_usual():
    assert figure_text("test/mig", 0.12345) == "0.123"
    assert figure_text("test/elbo", -12345.678) == "-12,346"
    assert figure_text("test/elbo", None) == "-"
    assert error_text("test/elbo", 40775.0, 1.5) == "2"
    assert error_text("test/elbo", -100.0, 0.25) == "0.25"
    assert error_text("test/elbo", -100.0, None) == ""
    assert figure_text("test/elbo", -1.0722e34) == "-1.07e+34"
    assert error_text("test/elbo", -1.0722e34, 2.5e33) == "2.5e+33"


def test_a_strangers_names_make_no_columns_without_end(tmp_path):
    odd = {f"test/{name}": 1.0 for name in ("<b>", "a\nb", "x" * 61, "\x1b[2J", "a b")}
    many = {f"test/own_{number}": 1.0 for number in range(1000)}
    runs = read_runs([write_run(tmp_path / "0", {}, [], figures(-100, **odd, **many))])
    found = further_figures(runs)
    assert len(found) == 40
    assert all(name.startswith("test/own_") for name in found)
