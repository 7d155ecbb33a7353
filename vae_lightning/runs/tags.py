"""The tags of a run: words by which it is found again, in the loggers and in a report."""

from typing import Any

from vae_lightning.errors import UserError, one_line

_MOST = 100
_LONGEST = 64  # letters, which every service takes


def checked_tags(value: Any) -> list[str]:
    """The tags that a config has, as a list; one word stands for a list of it.

    Raises:
        UserError: anything else than texts of 1 to 64 letters on one line.
    """
    tags = [value] if isinstance(value, str) else [] if value is None else value
    wanted = "give words of up to 64 letters, as in tags=[baseline,paper]; a number is one in quotes: tags=\"['7']\""
    if not isinstance(tags, list) or len(tags) > _MOST:
        raise UserError(f"tags={_shown(value)}: {wanted}")
    for tag in tags:
        if not isinstance(tag, str) or not 0 < len(tag) <= _LONGEST or not tag.isprintable():
            raise UserError(f"tags: {_shown(tag)} is none; {wanted}")
    return list(dict.fromkeys(tags))


def _shown(value: Any) -> str:
    text = one_line(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
