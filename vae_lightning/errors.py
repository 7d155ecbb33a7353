"""The one exception that speaks to the user."""


class UserError(Exception):
    """A mistake in the user's input, told on one line that names the key, its value and the valid choices.

    Entry points print it without a traceback and exit with code 1.
    """
