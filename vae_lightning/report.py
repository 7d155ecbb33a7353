"""Entry point: `python -m vae_lightning.report sweep=outputs/sweeps/<date>/<time>_<name>`, or `vae-report`."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vae_lightning.building.arguments import unknown_key
from vae_lightning.command_line.commands import refusing_sweeps, run_command
from vae_lightning.command_line.places import with_home
from vae_lightning.config import plain
from vae_lightning.errors import UserError, one_line, plain_lines
from vae_lightning.machine.terminal import beside, width_within

_KEYS = ["sweep", "runs", "output"]


def main() -> None:
    """Compose the config from the command line, write the report, and print its table."""
    run_command(
        "report",
        _report,
        check=refusing_sweeps("a report is made once; several runs are given as runs=[first,second]"),
        is_for_reading=True,
    )


def _report(config: DictConfig) -> None:
    # Imported here: `--help` must answer without plotly.
    from vae_lightning.reports.report import write_report
    from vae_lightning.reports.summary import terminal_table

    directories, output, title = _wanted(with_home(plain(config)))
    report = write_report(directories, output, title)
    print(f"{plain_lines(terminal_table(report.records, width_within(120)))}\n")
    for name, path in {"summary": report.summary, "report": report.page}.items():
        print(beside(name, one_line(path), 10))


def _wanted(config: dict[str, Any]) -> tuple[list[Path], Path, str]:
    """The run directories, where the report goes, and its title."""
    from vae_lightning.reports.runs import given_runs, runs_of_sweep

    unknown = config.keys() - _KEYS
    if unknown:  # Hydra lets a plus sign add any key
        raise UserError(unknown_key(min(unknown), _KEYS))
    sweep, output = config["sweep"], config["output"]
    given = config["runs"] or []
    runs = [str(run) for run in (given if isinstance(given, list) else [given])]
    if (sweep is None) == (not runs):
        raise UserError("give either sweep=<a sweep's directory> or runs=[<run directory>,...]")
    if sweep is not None:
        return runs_of_sweep(Path(sweep)), Path(output or sweep), f"Sweep {Path(sweep).resolve().name}"
    return given_runs(runs), Path(output or "outputs/report"), "Comparison of runs"


if __name__ == "__main__":
    main()
