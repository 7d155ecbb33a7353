"""What a run's directory may be called."""

import pytest

from vae_lightning.errors import UserError, one_line
from vae_lightning.runs.directories import check_name

NAMES = ["../../x", "a/b", "..", ".", "a\\b", "a\nb", "a\rb", "a\x00b", "a\x1b[2Jb", "a\u2028b", "n" * 201, "ü" * 101]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_name_of_a_folder_is_refused(name):
    with pytest.raises(UserError, match=r"^name=") as error:
        check_name(name)
    assert one_line(error.value) == str(error.value)
    assert len(str(error.value)) < 150


@pytest.mark.parametrize("name", ["mnist_conv", "Größe 3", "a..b", "~", "", "x" * 200, "=[,]'\"", "-"])
def test_other_names_are_taken(name):
    check_name(name)
