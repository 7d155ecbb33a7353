"""How figures and reasons read, on the terminal and on the page."""

_LARGE = 10_000
_HUGE = 1e9  # of a training that has come apart: its size is all that is worth the room


def nats(value: float | None, missing: str = "-") -> str:
    """Nats per image: two decimals below 10,000, none above, where the standard error is larger than they are."""
    if value is None:
        return missing
    return _written(value, 2 if abs(value) < _LARGE else 0)


def _written(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}" if abs(value) < _HUGE else f"{value:.3g}"


def whole(value: float | None) -> str:
    """A count or a speed, with thousands separators."""
    return "-" if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """A time as it is told: `33 s`, `7 min 19 s`, `2 h 05 min`."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def visible(text: str) -> str:
    """The text on one line, without control characters, which could drive a terminal, and others that don't show."""
    printable = text.encode(errors="backslashreplace").decode()  # of a file's name that is no UTF-8
    return " ".join("".join(character if character.isprintable() else " " for character in printable).split())


def shortened(text: str, length: int) -> str:
    """At most so many characters, on one line, without control characters, which could drive a terminal."""
    line = visible(text)
    return line if len(line) <= length else f"{line[: max(length - 3, 0)].rstrip()}..."
