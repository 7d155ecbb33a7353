"""What was not tested is told at the end of a test run."""

from types import SimpleNamespace

from tests.conftest import pytest_terminal_summary


def told(*reasons: str) -> list[str]:
    reports = [SimpleNamespace(longrepr=("test_this.py", 7, f"Skipped: {reason}")) for reason in reasons]
    lines: list[str] = []
    pytest_terminal_summary(SimpleNamespace(stats={"skipped": reports} if reports else {}, write_line=lines.append))
    return lines


def test_the_number_of_skipped_tests_and_each_reason_are_told():
    assert told("no data", "no browser", "no data") == ["skipped: 3", "  2 x no data", "  1 x no browser"]


def test_no_skipped_test_is_told_too():
    assert told() == ["skipped: 0"]
