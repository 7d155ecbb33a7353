"""How a mistake is told: the one exception that speaks to the user, and what is checked of numbers that are given."""

from collections.abc import Sequence

_SIDES = 2  # of an image: height and width
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # have what follows run the other way


class UserError(Exception):
    """A mistake in the user's input, told on one line that names the key, its value and the valid choices.

    Entry points print it without a traceback and exit with code 1.
    """


class ArgumentError(UserError, ValueError):
    """A mistake in what Python code has given to a function of the public face: a ValueError, as anywhere in Python."""


def require_at_least(name: str, value: float, least: float) -> None:
    """Raise a ValueError that opens with the parameter's name if its value is too small."""
    if not value >= least:  # NaN is neither
        raise ValueError(f"{name} must be at least {least}, got {value}")


def require_at_most(name: str, value: float, most: float) -> None:
    """Raise a ValueError that opens with the parameter's name if its value is too large."""
    if not value <= most:
        raise ValueError(f"{name} must be at most {most}, got {value}")


def require_weight(name: str, value: float) -> None:
    """Raise a ValueError that opens with the parameter's name if its value can't weigh a term of a loss."""
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be finite and at least 0, got {value}")


def require_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raise a ValueError that opens with the parameter's name if its value is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}; got {value}")


def require_frame_duration(name: str, milliseconds: int) -> None:
    """Raise a ValueError that opens with the parameter's name if a GIF can't show a frame for so long."""
    require_at_least(name, milliseconds, 20)  # viewers slow down what is shorter
    if milliseconds > 655_350:  # the file counts in hundredths of a second, of two bytes
        raise ValueError(f"{name} must be at most 655350, got {milliseconds}")


def require_image_size(name: str, value: int | Sequence[int]) -> None:
    """Raise a ValueError that opens with the parameter's name unless its value is a positive number, or two of them."""
    sides = [value, value] if isinstance(value, int) else list(value)
    if len(sides) != _SIDES or any(type(side) is not int or side < 1 for side in sides):
        shown = value if isinstance(value, int) else sides
        raise ValueError(f"{name} must be a positive number of pixels, or two as [height,width], got {shown}")


def first_line(error: BaseException) -> str:
    """What an error says, its first line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def one_line(text: object) -> str:
    """A message without the line breaks and control characters that a name in it may hold; they drive terminals."""
    return "".join(_shown(character) for character in str(text))


def plain_lines(text: object) -> str:
    """`one_line` for a text of several lines."""
    return "\n".join(one_line(line) for line in str(text).split("\n"))


def _shown(character: str) -> str:
    is_control = ord(character) < 32 or 127 <= ord(character) < 160 or character in "\u2028\u2029" + _TURNING
    return repr(character)[1:-1] if is_control else character
