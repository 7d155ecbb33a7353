"""The page as a file: whole or not at all, and over nothing but an earlier page."""

import os
from pathlib import Path

from vae_lightning.disk.files import replacing
from vae_lightning.errors import UserError
from vae_lightning.explorer.page import MARK

_HEAD = 1000  # characters in which the mark stands


def check_place(page: Path, overwrite: bool) -> None:
    """Raise a UserError where the page can't go, or would replace anything but a page that may be replaced."""
    told = f"out={page}"
    if page.is_dir():
        raise UserError(f"{told}: is a folder; give the name of a file, as in out={page / 'explorer.html'}")
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
        with page.open(encoding="utf-8", errors="replace") as file:
            return page.is_file() and MARK in file.read(_HEAD)
    except OSError:
        return False
