"""The one exception that speaks to the user."""


class UserError(Exception):
    """A mistake in the user's input, told on one line that names the key, its value and the valid choices.

    Entry points print it without a traceback and exit with code 1.
    """


def one_line(text: object) -> str:
    """A message without the line breaks and control characters that a name in it may hold; they drive terminals."""
    return "".join(_shown(character) for character in str(text))


def _shown(character: str) -> str:
    is_control = ord(character) < 32 or 127 <= ord(character) < 160 or character in "\u2028\u2029"
    return repr(character)[1:-1] if is_control else character
