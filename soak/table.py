"""The table of docs/reliability.md, written from the log."""

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from soak.records import REPOSITORY, Log

PAGE = REPOSITORY / "docs/reliability.md"
_BEGIN, _END = "<!-- soak: begin -->", "<!-- soak: end -->"
_COLUMNS = ("lost", "executed", "outside", "hung", "crashed")
_WHAT = {
    "planted": "faults planted to be found",
    "kills": "SIGKILLs of training runs",
    "pictures": "mutated pictures",
    "configs": "hostile stored configs",
    "checkpoints": "hostile checkpoints",
    "archives": "hostile archives",
    "directories": "hostile run directories",
}
Entry = dict[str, Any]


def write_table(log: Path) -> None:
    """Put the table of what the log has of the newest code into the page, and print it."""
    text = table(list(Log(log, 0).entries()))
    if PAGE.is_file():
        page = PAGE.read_text()
        pattern = re.compile(f"{re.escape(_BEGIN)}.*{re.escape(_END)}", re.DOTALL)
        PAGE.write_text(pattern.sub(lambda _: f"{_BEGIN}\n{text}\n{_END}", page))
    sys.stdout.write(f"{text}\n")


def table(entries: list[Entry]) -> str:
    """Of each case, as it was tried last: what was tried, and how often what went wrong; then what was tried before."""
    if not entries:
        return "Nothing has been tried yet."
    last = {(entry["part"], entry["case"], entry["seed"]): entry for entry in entries}
    current = list(last.values())
    lines = [f"Tried on {_dates(current)}, on {_machines(current)}, by `make soak`.", ""]
    lines += [*_rows("part", _by(current, lambda entry: _WHAT[entry["part"]])), ""]
    lines += ["The kills by what was killed:", ""]
    kills = [entry for entry in current if entry["part"] == "kills"]
    lines += _rows("run", _by(kills, lambda entry: entry["case"].partition(" ")[2]))
    earlier = [entry for entry in entries if entry is not last[entry["part"], entry["case"], entry["seed"]]]
    if earlier:
        lines += [
            "",
            "Cases that were tried again once what they found was mended; before, it had been:",
            "",
        ]
        lines += _rows("part", _by(earlier, lambda entry: _WHAT[entry["part"]]))
    return "\n".join(lines)


def _machines(entries: list[Entry]) -> str:
    return " and ".join(dict.fromkeys(entry["machine"] for entry in entries))


def _dates(entries: list[Entry]) -> str:
    dates = sorted({entry["date"] for entry in entries})
    return dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"


def _by(entries: list[Entry], key: Any) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[key(entry)].append(entry)
    return groups


def _rows(heading: str, groups: dict[str, list[Entry]]) -> list[str]:
    lines = [f"| {heading} | tried | cases | {' | '.join(_COLUMNS)} | commit |"]
    lines.append(f"|---|{'---:|' * (2 + len(_COLUMNS))}---|")
    for name, entries in groups.items():
        counted = Counter(outcome for entry in entries for outcome in entry["outcomes"])
        tried = sum(entry["tried"] for entry in entries)
        figures = " | ".join(str(counted[column]) for column in _COLUMNS)
        commits = ", ".join(dict.fromkeys(entry["commit"] for entry in entries))
        lines.append(f"| {name} | {tried:,} | {len(entries):,} | {figures} | {commits} |")
    return lines
