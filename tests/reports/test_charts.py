from tests.reports.runs_on_disk import figures, write_run
from vae_lightning.reports.charts import empty_figure, escaped, hover_text
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.entries import RUNS, SEEDS, entries
from vae_lightning.reports.runs import read_runs


def test_text_of_a_run_cannot_become_a_tag():
    assert escaped("<b>&lt;") == "&lt;b&gt;&amp;lt;"


def test_hover_text_has_the_name_what_varied_and_the_figures(tmp_path):
    runs = [write_run(tmp_path / f"<i>{n}", {"seed": n}, [f"seed={n}"], figures(-100 - n)) for n in range(2)]
    comparison = Comparison(read_runs(runs))
    means, *_ = entries(comparison, comparison.rankings[0], SEEDS)
    assert hover_text(comparison, means).startswith(
        "<b>mean of 2 seeds</b><br>test ELBO -100.50 ± 0.71<br>rate 20.00 ± 0.00"
    )
    second = entries(comparison, comparison.rankings[0], RUNS)[1]
    assert hover_text(comparison, second) == (
        "<b>run &lt;i&gt;1</b><br>seed = 1<br>test ELBO -101.00 ± 0.25<br>rate 20.00, distortion 81.00"
        "<br>val ELBO -102.00"
    )


def test_figures_have_titles_and_a_height():
    figure = empty_figure("rate", "distortion", 300)
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text, figure.layout.height) == (
        "rate",
        "distortion",
        300,
    )
