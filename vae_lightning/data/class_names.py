"""Labels by name: what users type, and what they read."""

from vae_lightning.errors import UserError

Label = int | str  # a class by its number or its name
Names = tuple[str, ...] | None  # of labels 0, 1, ..., where they have names

_LONGEST = 24  # letters of a name that are shown
_MOST = 10  # names in a message


def label_name(label: int, names: Names) -> str:
    """How a label is shown: by its name, shortened if need be, where it has one."""
    if names is None or not 0 <= label < len(names):
        return str(label)
    name = "".join(letter if letter.isprintable() else "?" for letter in names[label])
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def label_number(given: Label, names: Names, key: str) -> int:
    """The number of a label that was typed.

    Args:
        given: its name, or its number where the names are no numbers themselves.
        names: of the labels; None where they have none.
        key: what was typed, for the message.

    Raises:
        UserError: no label has that name.
    """
    text = str(given)
    known = names or ()
    if text in known:
        return known.index(text)
    are_numbers = bool(known) and all(name.isdecimal() for name in known)
    if isinstance(given, int) and not isinstance(given, bool) and not are_numbers:
        return given
    raise UserError(f"{key}: no label is called {text!r}; {choices(names)}")


def choices(names: Names, num_classes: int | None = None) -> str:
    """What labels there are, in words."""
    if names is None:
        return "these labels have no names" if num_classes is None else f"choose 0 to {num_classes - 1}"
    shown = ", ".join(label_name(number, names) for number in range(min(len(names), _MOST)))
    return f"choose one of {shown}" + (f", ... ({len(names):,} in all)" if len(names) > _MOST else "")
