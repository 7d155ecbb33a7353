"""The page as a file: whole or not at all, and over nothing but an earlier page."""

import os
import sys
from pathlib import Path

from vae_lightning.disk.files import open_regular, part_of, replacing
from vae_lightning.errors import UserError
from vae_lightning.explorer.page import MARK

_HEAD = 1000  # characters in which the mark stands


def check_place(page: Path, overwrite: bool) -> None:
    """Raise a UserError where the page can't go, or would replace anything but a page that may be replaced."""
    told = f"out={page}"
    try:
        if page.is_dir():
            raise UserError(f"{told}: is a folder; give the name of a file, as in out={page / 'explorer.html'}")
        part_of(page).exists()  # whether a name of this length can be
        above = next((folder for folder in page.parents if os.path.lexists(folder)), page.parent)
        if not above.is_dir():
            raise UserError(f"{told}: can't be written to ({above} is no folder)")
    except OSError as error:
        raise UserError(f"{told}: can't be written to ({error.strerror or error})") from error
    if not os.path.lexists(page):
        return
    if not overwrite:
        raise UserError(f"{told}: is there already; overwrite=true replaces it if it is such a page, or give another")
    if not _is_page(page):
        raise UserError(f"{told}: is no page of vae-explore; move it or give another out")


def save_page(page: Path, text: str, overwrite: bool) -> None:
    """Write the page; folders that are missing are made.

    Raises:
        UserError: it can't be written, or something is there by now.
    """
    check_place(page, overwrite)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        with replacing(page) as file:
            file.write(text.encode("utf-8", errors="backslashreplace"))
    except OSError as error:
        raise UserError(f"out={page}: can't be written to ({error.strerror or error})") from error


def _is_page(page: Path) -> bool:
    try:
        with open_regular(page, sys.maxsize) as file:  # of a pipe one would wait for the end
            return MARK.encode() in file.read(_HEAD)
    except (OSError, ValueError):  # no regular file
        return False
