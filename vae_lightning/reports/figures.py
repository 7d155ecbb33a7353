"""The figures that runs have: what each is called, how it reads, and whether more of it is better."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vae_lightning.reports.entries import ReportEntry
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.wording import nats

ALWAYS = (
    "val/elbo",
    "test/elbo",
    "test/elbo_stderr",
    "test/rate",
    "test/distortion",
    "test/num_images",
    "epochs",
    "steps",
    "seconds",
    "train/images_per_s",
)
_TEST = "test/"
# What an evaluation records of how it was made, after the name of its metric: no figures of the model.
_FACTS = re.compile(r"seconds|seed|epoch|num_\w+|max_\w+|feature_accuracy|settings|batch_size")
_NAME = re.compile(r"[\w.@:+-]{1,60}", re.ASCII)  # of a metric of the user's own; a stranger's may be anything
_MOST_OWN = 40
_NONE = ("loss", "kind", "num_images")  # besides: of a loss, with another beta, is another quantity


@dataclass(frozen=True)
class FigureReading:
    """How a figure reads.

    Attributes:
        heading: of its column.
        decimals: after the point.
        is_better: "higher", "lower", or "" where neither is better in itself.
    """

    heading: str
    decimals: int = 2
    is_better: str = ""


_READINGS = {
    "val/elbo": FigureReading("val ELBO", 2, "higher"),
    "test/elbo": FigureReading("test ELBO", 2, "higher"),
    "test/rate": FigureReading("rate"),
    "test/distortion": FigureReading("distortion"),
    "test/bits_per_dim": FigureReading("bits/dim", 4, "lower"),
    "test/nll": FigureReading("NLL", 2, "lower"),
    "test/nll_bits_per_dim": FigureReading("NLL bits/dim", 4, "lower"),
    "test/nll_gap": FigureReading("NLL gap", 2, "lower"),
    "test/active_units": FigureReading("active units", 1),
    "test/aggregate_mutual_information": FigureReading("I(x; z)"),
    "test/aggregate_marginal_kl": FigureReading("KL(q(z) || p(z))", 2, "lower"),
    "test/aggregate_total_correlation": FigureReading("total correlation"),
    "test/aggregate_dimension_kl": FigureReading("dimension-wise KL"),
    "test/mse": FigureReading("MSE", 5, "lower"),
    "test/psnr": FigureReading("PSNR", 2, "higher"),
    "test/ssim": FigureReading("SSIM", 4, "higher"),
    "test/sharpness": FigureReading("sharpness", 4, "higher"),
    "test/fid": FigureReading("FID", 2, "lower"),
    "test/kid": FigureReading("KID x 1000", 3, "lower"),
    "test/fd_classifier": FigureReading("FD of samples", 3, "lower"),
    "test/fd_classifier_reconstructions": FigureReading("FD of reconstructions", 3, "lower"),
    "test/fd_instances": FigureReading("FD of samples", 3, "lower"),
    "test/fd_instances_reconstructions": FigureReading("FD of reconstructions", 3, "lower"),
    "test/linear_accuracy": FigureReading("linear probe %", 2, "higher"),
    "test/knn_accuracy": FigureReading("k-NN %", 2, "higher"),
    "test/codebook_use": FigureReading("codebook use", 3, "higher"),
    "test/perplexity": FigureReading("perplexity", 2, "higher"),
    "test/beta_vae_score": FigureReading("beta-VAE score", 3, "higher"),
    "test/factor_vae_score": FigureReading("FactorVAE score", 3, "higher"),
    "test/mig": FigureReading("MIG", 3, "higher"),
    "test/dci_disentanglement": FigureReading("DCI disentanglement", 3, "higher"),
    "test/dci_completeness": FigureReading("DCI completeness", 3, "higher"),
    "test/dci_informativeness": FigureReading("DCI informativeness", 3, "higher"),
    "test/sap": FigureReading("SAP", 3, "higher"),
    "test/modularity": FigureReading("modularity", 3, "higher"),
    "test/explicitness": FigureReading("explicitness", 3, "higher"),
    "epochs": FigureReading("epochs", 0),
    "steps": FigureReading("steps", 0),
    "seconds": FigureReading("seconds", 1, "lower"),
    "train/images_per_s": FigureReading("images/s", 0, "higher"),
    "peak_memory_mb": FigureReading("memory (MB)", 0, "lower"),
}


def reading(figure: str) -> FigureReading:
    """How a figure reads: one of a metric of the user's own by its name, as in `sharp edges` of `test/sharp_edges`."""
    return _READINGS.get(figure) or FigureReading(figure.removeprefix(_TEST).replace("_", " "), 4)


def further_figures(runs: Iterable[RunRecord]) -> list[str]:
    """The figures of the test, and of evaluations of it, that any run has besides those that all tests have.

    Standard errors are none, nor is what tells how a figure was computed: its images, its samples, its seconds.
    """
    found = dict.fromkeys(name for run in runs for name in _figures_of(run))
    known = [name for name in _READINGS if name in found]
    own = [name for name in found if name not in _READINGS and _NAME.fullmatch(name.removeprefix(_TEST))]
    return [name for name in (*known, *own[:_MOST_OWN]) if name not in ALWAYS]


def figure_text(figure: str, value: float | None) -> str:
    """A value of a figure with its decimals; of a value of five digits or more none."""
    if value is None:
        return "-"
    decimals = reading(figure).decimals
    return nats(value) if abs(value) >= 1e4 else f"{value:,.{decimals}f}"


def error_text(figure: str, value: float | None, error: float | None) -> str:
    """An error with as many decimals as the value that it belongs to; empty where there is none."""
    if value is None or error is None:
        return ""
    decimals = 0 if max(abs(value), abs(error)) >= 1e4 else reading(figure).decimals
    return f"{error:,.{decimals}f}" if abs(error) < 1e9 else f"{error:.3g}"


def with_error(entry: ReportEntry, figure: str, sign: str = "±") -> str:
    """The figure of a run with its standard error; of several seeds their mean with the standard deviation."""
    spread = entry.spread(figure)
    if spread is None:
        return "-"
    error = spread.sd if spread.num > 1 or entry.is_mean else entry.error(figure)
    told = error_text(figure, spread.mean, error)
    return f"{figure_text(figure, spread.mean)} {sign} {told}" if told else figure_text(figure, spread.mean)


def bare(entry: ReportEntry, figure: str) -> str:
    """The figure alone, of several seeds their mean."""
    return figure_text(figure, entry.figure(figure))


def _figures_of(run: RunRecord) -> list[str]:
    names = [name.removeprefix(_TEST) for name in run.metrics if name.startswith(_TEST)]
    metrics = [name.removesuffix("_seconds") for name in names if name.endswith("_seconds")]
    return [f"{_TEST}{name}" for name in names if not _is_no_figure(name, names, metrics)]


def _is_no_figure(name: str, names: list[str], metrics: list[str]) -> bool:
    if name in _NONE or (name.endswith("_stderr") and name.removesuffix("_stderr") in names):
        return True
    told_of = [metric for metric in metrics if name.startswith(f"{metric}_")]
    return any(_FACTS.fullmatch(name.removeprefix(f"{metric}_")) for metric in told_of)
