"""Where the page may go."""

import os

import pytest

from vae_lightning.errors import UserError
from vae_lightning.explorer.page import MARK
from vae_lightning.explorer.saving import check_place, save_page


def test_a_page_is_replaced_only_where_that_is_wanted_and_nothing_else_ever(tmp_path):
    page = tmp_path / "new" / "page.html"
    save_page(page, f"{MARK} one", False)
    with pytest.raises(UserError, match=r"is there already; overwrite=true replaces it"):
        save_page(page, f"{MARK} two", False)
    save_page(page, f"{MARK} two", True)
    assert page.read_text() == f"{MARK} two"
    page.write_text("my own")
    with pytest.raises(UserError, match=r"is no page of vae-explore; move it or give another out$"):
        save_page(page, f"{MARK} three", True)
    assert page.read_text() == "my own"
    assert [file.name for file in page.parent.iterdir()] == ["page.html"]


def test_a_folder_or_a_place_that_can_not_be_is_told(tmp_path):
    with pytest.raises(UserError, match=r"is a folder; give the name of a file, as in out=.*explorer\.html$"):
        check_place(tmp_path, True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"can't be written to \(.*file is no folder\)$"):
        check_place(tmp_path / "file" / "new" / "page.html", False)
    with pytest.raises(UserError, match=r"can't be written to \(File name too long\)$"):
        check_place(tmp_path / f"{'a' * 300}.html", False)


@pytest.mark.usefixtures("in_time")
def test_nothing_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "page.html")
    with pytest.raises(UserError, match=r"is no page of vae-explore; move it or give another out$"):
        check_place(tmp_path / "page.html", True)
