"""The one exception that speaks to the user."""

_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # have what follows run the other way


class UserError(Exception):
    """A mistake in the user's input, told on one line that names the key, its value and the valid choices.

    Entry points print it without a traceback and exit with code 1.
    """


def one_line(text: object) -> str:
    """A message without the line breaks and control characters that a name in it may hold; they drive terminals."""
    return "".join(_shown(character) for character in str(text))


def plain_lines(text: object) -> str:
    """`one_line` for a text of several lines."""
    return "\n".join(one_line(line) for line in str(text).split("\n"))


def _shown(character: str) -> str:
    is_control = ord(character) < 32 or 127 <= ord(character) < 160 or character in "\u2028\u2029" + _TURNING
    return repr(character)[1:-1] if is_control else character
