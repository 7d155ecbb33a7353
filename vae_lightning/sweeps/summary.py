"""The end of a sweep: its report, its table, and whether a job has failed."""

from pathlib import Path

from vae_lightning.errors import UserError, plain_lines
from vae_lightning.machine.terminal import beside, width_within
from vae_lightning.reports.runs import RunRecord


def summarize(sweep: Path) -> None:
    """Write the sweep's report, print its table, and fail when a job has.

    Raises:
        UserError: jobs that have not finished, by number.
    """
    from vae_lightning.reports.wording import shortened

    records = tell_report(sweep)
    unfinished = [record for record in records if record.status != "finished"]
    for record in unfinished:
        print(f"{f'job {record.name}':<16}{shortened(record.status, 40)}: {shortened(record.reason, 300)}")
    if unfinished:
        names = ", ".join(record.name for record in unfinished)
        raise UserError(f"{len(unfinished)} of {len(records)} jobs have not finished: {names}")


def tell_report(sweep: Path) -> list[RunRecord]:
    """Write the sweep's report, print its table and where it is; its runs, best first, none where no job has come."""
    from vae_lightning.reports.report import write_report
    from vae_lightning.reports.runs import find_runs
    from vae_lightning.reports.summary import terminal_table

    directories = find_runs(sweep) if sweep.is_dir() else []
    if not directories:
        return []
    report = write_report(directories, sweep, f"Sweep {sweep.resolve().name}")
    print(f"\n{plain_lines(terminal_table(report.records, width_within(120)))}\n")
    files = {"sweep": sweep, "table": report.summary, "seeds": report.seeds, "report": report.page}
    for name, path in files.items():
        if path is not None:
            print(beside(name, str(path), 16))
    return report.records
