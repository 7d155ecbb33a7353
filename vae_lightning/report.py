"""Entry point: `python -m vae_lightning.report sweep=outputs/sweeps/<date>/<time>_<name>`, or `vae-report`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from vae_lightning.building.arguments import unknown_key
from vae_lightning.command_line.commands import refusing_sweeps, run_command
from vae_lightning.command_line.places import with_home
from vae_lightning.config import plain
from vae_lightning.errors import UserError, one_line, plain_lines
from vae_lightning.machine.terminal import beside, width_within

if TYPE_CHECKING:
    from vae_lightning.reports.report import Report

_KEYS = ["sweep", "runs", "output", "table", "fields", "watch"]


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
    settings = with_home(plain(config))
    find, output, title = _wanted(settings)
    if settings["table"] is not None and settings["watch"]:
        raise UserError(f"table={settings['table']} and watch=true: a table is written once; give one of them")
    if settings["table"] is not None:
        _write_table(find(), output, str(settings["table"]), settings["fields"])
    elif settings["fields"] is not None:
        raise UserError("fields: are those of a table; give table=latex or table=markdown, too")
    elif settings["watch"]:
        _watch(find, output, title)
    else:
        from vae_lightning.reports.report import write_report

        _tell(write_report(find(), output, title))


def _tell(report: "Report") -> None:
    from vae_lightning.reports.summary import terminal_table

    print(f"{plain_lines(terminal_table(report.records, width_within(120)))}\n")
    files = {"summary": report.summary, "seeds": report.seeds, "report": report.page}
    for name, path in files.items():
        if path is not None:
            print(beside(name, one_line(path), 10))


def _watch(find: Callable[[], list[Path]], output: Path, title: str) -> None:
    """Write the report again and again, and tell of each run when its status changes; the table at the end."""
    from vae_lightning.reports.watching import watched_reports

    told: dict[str, str] = {}
    report = None
    for report in watched_reports(find, output, title):
        if not told:
            print(f"{one_line(report.page)}: written anew while the runs are trained; Ctrl-C ends this", flush=True)
        now = {
            record.name: record.status
            for record in sorted(report.records, key=lambda record: (len(record.name), record.name))
        }
        for name, status in now.items():
            if told.get(name) != status:
                print(f"run {name}: {status}", flush=True)
        told = now
    if report is not None:
        print()
        _tell(report)


def _write_table(directories: list[Path], output: Path, form: str, fields: Any) -> None:
    from vae_lightning.reports.report import write_table

    names = [fields] if isinstance(fields, str) else fields
    if not (names is None or (isinstance(names, list) and names)):
        raise UserError(f"fields={fields}: give names of columns, as in fields=[latent_dim,elbo]")
    table, file = write_table(directories, output, form, names and [str(name) for name in names])
    print(f"{plain_lines(table)}\n\n{one_line(file)}")


def _wanted(config: dict[str, Any]) -> tuple[Callable[[], list[Path]], Path, str]:
    """What finds the run directories, where the report goes, and its title."""
    from vae_lightning.reports.runs import find_runs, given_runs, runs_of_sweep
    from vae_lightning.runs.latest import named_sweep

    unknown = config.keys() - _KEYS
    if unknown:  # Hydra lets a plus sign add any key
        raise UserError(unknown_key(min(unknown), _KEYS))
    sweep, output = config["sweep"], config["output"]
    given = config["runs"] or []
    runs = [str(run) for run in (given if isinstance(given, list) else [given])]
    if (sweep is None) == (not runs):
        raise UserError("give either sweep=<a sweep's directory> or runs=[<run directory>,...]")
    if not isinstance(config["watch"], bool):
        raise UserError(f"watch={config['watch']}: expected true or false")
    if sweep is None:
        return (lambda: given_runs(runs)), Path(output or "outputs/report"), "Comparison of runs"
    place = Path(named_sweep(str(sweep)))
    is_to_begin = config["watch"] and place.is_dir() and not (place / "config.yaml").is_file()
    find = (lambda: find_runs(place)) if is_to_begin else (lambda: runs_of_sweep(place))
    return find, Path(output or place), f"Sweep {place.resolve().name}"


if __name__ == "__main__":
    main()
