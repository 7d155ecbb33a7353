"""A report on a set of runs: summary.csv and index.html, written from what their directories hold."""

import os
from dataclasses import dataclass
from pathlib import Path

from vae_lightning.disk.files import check_within, write_atomically
from vae_lightning.errors import UserError
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.csv_files import seeds_csv, summary_csv
from vae_lightning.reports.page import page_html
from vae_lightning.reports.runs import RunRecord, read_runs
from vae_lightning.reports.tables import paper_table
from vae_lightning.reports.wording import visible

TABLES = {"latex": "table.tex", "markdown": "table.md"}  # the file of each form


@dataclass(frozen=True)
class Report:
    """What `write_report` has written.

    Attributes:
        records: the runs, best first.
        summary: the file with their figures, for other programs.
        seeds: the file with their means over seeds; None where there are none.
        page: the file to open in a browser.
    """

    records: list[RunRecord]
    summary: Path
    seeds: Path | None
    page: Path


def write_report(directories: list[Path], output: Path, title: str, reload_s: int | None = None) -> Report:
    """Read the run directories, in whatever state they are, and write summary.csv and index.html into `output`.

    Args:
        directories: of the runs.
        output: the folder to write to.
        title: the page's heading.
        reload_s: seconds after which the page loads itself anew, while its runs are trained; None: it does not.

    Raises:
        UserError: `output` can't be written to, or lies in one of the runs and leads out of it by a link.
    """
    _check_place(output, directories)
    comparison = Comparison(read_runs(directories))
    summary, seeds, page = output / "summary.csv", output / "summary_seeds.csv", output / "index.html"
    try:
        output.mkdir(parents=True, exist_ok=True)
        _write(summary, summary_csv(comparison, output))
        if comparison.has_seeds:
            _write(seeds, seeds_csv(comparison))
        else:  # of another comparison
            seeds.unlink(missing_ok=True)
        _write(page, page_html(comparison, visible(title), output, reload_s))
    except OSError as error:
        raise UserError(f"output={output}: can't be written to ({error.strerror or error})") from error
    return Report(comparison.records, summary, seeds if comparison.has_seeds else None, page)


def write_table(directories: list[Path], output: Path, form: str, fields: list[str] | None) -> tuple[str, Path]:
    """Write a table for a paper, table.tex or table.md, into `output`.

    Args:
        directories: of the runs.
        output: the folder to write to.
        form, fields: as of `paper_table`.

    Returns:
        the table and the file.

    Raises:
        UserError: no such form or field; or as `write_report`.
    """
    _check_place(output, directories)
    table = paper_table(Comparison(read_runs(directories)), form, fields)
    file = output / TABLES[form]
    try:
        output.mkdir(parents=True, exist_ok=True)
        _write(file, f"{table}\n")
    except OSError as error:
        raise UserError(f"output={output}: can't be written to ({error.strerror or error})") from error
    return table, file


def _check_place(output: Path, directories: list[Path]) -> None:
    """A run may come from a stranger, and what lies in it by its name must really lie there."""
    for run in directories:
        if Path(os.path.abspath(output)).is_relative_to(os.path.abspath(run)):
            try:
                check_within(output, run)
            except ValueError as error:
                raise UserError(f"output={output}: {error}") from error


def _write(file: Path, text: str) -> None:
    # A browser never finds half a page; a name that is no UTF-8 must not stop it.
    write_atomically(file, text.encode("utf-8", errors="backslashreplace"))
